/** OVER and WINDOW: definitions of windows, and how their functions leave the expressions they stand in. */
import type { Node, WindowDef } from 'libpg-query';
import {
  dateType,
  float8Type,
  int8Type,
  intervalType,
  isInteger,
  numericType,
  type SqlType,
  timestampType,
  timestamptzType,
} from '../types/type.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import { readSort } from './bind-query.ts';
import { resolveUnknown, tryCoerce } from './coerce.ts';
import type { BindContext } from './context.ts';
import {
  column,
  type Expression,
  type FrameBound,
  type WindowDefinition,
  type WindowExpression,
  type WindowFrame,
} from './expression.ts';
import { expressionKey } from './expression-key.ts';
import { mapChildren, some, startOf } from './expression-tree.ts';
import type { Relation } from './relation.ts';

/** Bits of the grammar's `frameOptions`. */
const bit = {
  notDefault: 0x1,
  rows: 0x4,
  groups: 0x8,
  startUnboundedPreceding: 0x20,
  endUnboundedPreceding: 0x40,
  startUnboundedFollowing: 0x80,
  endUnboundedFollowing: 0x100,
  startCurrentRow: 0x200,
  endCurrentRow: 0x400,
  startPreceding: 0x800,
  endPreceding: 0x1000,
  startFollowing: 0x2000,
  excludeCurrentRow: 0x8000,
  excludeGroup: 0x10000,
  excludeTies: 0x20000,
} as const;

/** The windows of one query level. */
export class WindowClause {
  private readonly context: BindContext;
  private readonly nodes: readonly WindowDef[];
  private readonly bound = new Map<WindowDef, WindowDefinition>();
  private readonly binder: () => ExpressionBinder;

  constructor(context: BindContext, nodes: readonly Node[], binder: () => ExpressionBinder) {
    this.context = context;
    this.nodes = nodes.flatMap((node) => ('WindowDef' in node ? [node.WindowDef] : []));
    this.binder = binder;
  }

  /** What OVER means. Throws 42704, 42P20. */
  resolve(over: WindowDef): WindowDefinition {
    const named = over.name === undefined ? undefined : this.named(over.name, over.location);
    return named === undefined ? this.define(over, this.nodes.length) : named;
  }

  /** Windows that nothing refers to are checked too. */
  bindRest(): void {
    const seen = new Set<string>();
    for (const node of this.nodes) {
      const { name = '', location } = node;
      if (seen.has(name))
        throw this.context.error('42P20', `window "${name}" is already defined`, location);
      seen.add(name);
      this.named(name, location);
    }
  }

  /** @param before only windows defined before this one */
  private named(
    name: string,
    location: number | undefined,
    before: number = this.nodes.length,
  ): WindowDefinition {
    const index = this.nodes.findIndex((one) => one.name === name);
    const node = this.nodes[index];
    if (node === undefined || index >= before)
      throw this.context.error('42704', `window "${name}" does not exist`, location);
    let bound = this.bound.get(node);
    if (bound === undefined) {
      bound = this.define(node, index);
      this.bound.set(node, bound);
    }
    return bound;
  }

  private define(node: WindowDef, place: number): WindowDefinition {
    const { context } = this;
    const { refname, location, partitionClause = [], orderClause = [] } = node;
    const base = refname === undefined ? undefined : this.named(refname, location, place);
    if (base !== undefined) this.checkCopy(node, base);
    const binder = this.binder();
    const partition = partitionClause.map((item) => resolveUnknown(context, binder.bind(item)));
    const order = orderClause.map((item) => {
      const sort = readSort(context, item);
      const expression = resolveUnknown(context, binder.bind(sort.node));
      return { expression, descending: sort.descending, nullsFirst: sort.nullsFirst };
    });
    const definition = {
      partition: base === undefined ? partition : base.partition,
      order: base === undefined || base.order.length === 0 ? order : base.order,
    };
    return { ...definition, frame: this.frame(node, definition, binder) };
  }

  private checkCopy(node: WindowDef, base: WindowDefinition): void {
    const { refname = '', location } = node;
    const refuse = (message: string) => this.context.error('42P20', message, location);
    if ((node.partitionClause ?? []).length > 0)
      throw refuse(`cannot override PARTITION BY clause of window "${refname}"`);
    if ((node.orderClause ?? []).length > 0 && base.order.length > 0)
      throw refuse(`cannot override ORDER BY clause of window "${refname}"`);
    if (!base.frame.implicit)
      throw refuse(`cannot copy window "${refname}" because it has a frame clause`);
  }

  private frame(
    node: WindowDef,
    window: Pick<WindowDefinition, 'order'>,
    binder: ExpressionBinder,
  ): WindowFrame {
    const { context } = this;
    const { frameOptions = 0, location, startOffset, endOffset } = node;
    const has = (mask: number) => (frameOptions & mask) !== 0;
    const mode = has(bit.rows) ? 'rows' : has(bit.groups) ? 'groups' : 'range';
    const [first] = window.order;
    const withOffset = startOffset !== undefined || endOffset !== undefined;
    if (mode === 'range' && withOffset && window.order.length !== 1)
      throw context.error(
        '42P20',
        'RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column',
        location,
      );
    if (mode === 'groups' && first === undefined)
      throw context.error('42P20', 'GROUPS mode requires an ORDER BY clause', location);
    const bound = (offset: Node, preceding: boolean): FrameBound => ({
      kind: preceding ? 'preceding' : 'following',
      offset: this.offset(binder, offset, mode, first?.expression.type),
    });
    const start: FrameBound =
      startOffset !== undefined
        ? bound(startOffset, has(bit.startPreceding))
        : { kind: has(bit.startCurrentRow) ? 'current row' : 'unbounded preceding' };
    const end: FrameBound =
      endOffset !== undefined
        ? bound(endOffset, has(bit.endPreceding))
        : { kind: has(bit.endUnboundedFollowing) ? 'unbounded following' : 'current row' };
    return {
      mode,
      start,
      end,
      exclude: has(bit.excludeCurrentRow)
        ? 'current row'
        : has(bit.excludeGroup)
          ? 'group'
          : has(bit.excludeTies)
            ? 'ties'
            : 'nothing',
      implicit: !has(bit.notDefault),
    };
  }

  /** Throws 42804, 42P10, 0A000 for a RANGE over a type that has no distance. */
  private offset(
    binder: ExpressionBinder,
    node: Node,
    mode: WindowFrame['mode'],
    ordered: SqlType | undefined,
  ): Expression {
    const { context } = this;
    const word = mode.toUpperCase();
    const bound = binder.bind(node);
    const type = mode === 'range' ? rangeOffsetType(ordered) : int8Type;
    if (type === undefined || (mode === 'range' && ordered === undefined))
      throw context.error(
        '0A000',
        `RANGE with offset PRECEDING/FOLLOWING is not supported for column type ${ordered?.display ?? ''}`,
        startOf(bound),
      );
    const coerced = tryCoerce(context, bound, type, mode === 'range' ? 'implicit' : 'assignment');
    if (coerced === undefined)
      throw mode === 'range'
        ? context.error(
            '0A000',
            `RANGE with offset PRECEDING/FOLLOWING is not supported for column type ${ordered?.display ?? ''} and offset type ${bound.type.display}`,
            startOf(bound),
            { hint: 'Cast the offset value to an appropriate type.' },
          )
        : context.error(
            '42804',
            `argument of ${word} must be type bigint, not type ${bound.type.display}`,
            startOf(bound),
          );
    if (some(coerced, (one) => one.kind === 'column'))
      throw context.error(
        '42P10',
        `argument of ${word} must not contain variables`,
        startOf(bound),
      );
    return coerced;
  }
}

/** The type of a distance between two values of a type. */
function rangeOffsetType(type: SqlType | undefined): SqlType | undefined {
  if (type === undefined) return undefined;
  if (isInteger(type)) return int8Type;
  if (type === float8Type || type === numericType) return type;
  if (type === dateType || type === timestampType || type === timestamptzType) return intervalType;
  return undefined;
}

/** Takes window functions out of expressions: each becomes a column behind the input's. */
export class WindowLift {
  private readonly input: Relation;
  private readonly functions: WindowExpression[] = [];
  private readonly known = new Map<string, number>();

  constructor(input: Relation) {
    this.input = input;
  }

  lift(expression: Expression): Expression {
    if (expression.kind !== 'window') return mapChildren(expression, (child) => this.lift(child));
    const key = expressionKey(expression);
    let index = this.known.get(key);
    if (index === undefined) {
      index = this.functions.push(expression) - 1;
      this.known.set(key, index);
    }
    const { type, modifier, location } = expression;
    return column(type, this.input.types.length + index, {
      modifier,
      location,
      standsFor: expression,
    });
  }

  /** The operator, once all expressions are lifted. */
  relation(): Relation {
    const { input, functions } = this;
    if (functions.length === 0) return input;
    const types = [...input.types, ...functions.map((one) => one.type)];
    return { kind: 'window', input, functions, types };
  }
}
