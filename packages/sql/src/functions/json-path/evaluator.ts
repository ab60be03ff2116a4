/**
 * Runs an SQL/JSON path over a document. Items go through the chain one by one, depth first, into a list; without a list the
 * question is only whether there is one, and the first answers it. Errors that the standard lets a caller suppress are
 * thrown where the caller wants them and an outcome elsewhere; inside predicates they make the predicate unknown.
 * One object serves one run. Called by `functions.ts` alone.
 */
import { assert } from '@flotilla/base';
import { SqlError } from '../../sql-error.ts';
import type { TextContext } from '../../types/codec.ts';
import { JsonNumber, JsonObject, type JsonValue } from '../../types/json.ts';
import {
  isPredicate,
  type JsonPath,
  type PathChain,
  type PathNode,
  type PathPredicate,
} from '../../types/json-path/nodes.ts';
import { compareNumeric, negateNumeric, truncateNumeric } from '../../types/numeric.ts';
import { momentOf } from './datetime.ts';
import { isArrayItem, isContainer, itemType, type PathItem, type PathOutcome } from './items.ts';
import { arithmetic, doubleOf, numericMethods } from './methods.ts';
import { containerOffsets, keyValueObject } from './offsets.ts';
import { type PredicateHost, truthOf } from './predicates.ts';

/** Steps and levels of a document within each other: what recursion bears. */
const depthMax = 600;

const idsPerBase = 10_000_000_000;

type Sink = PathItem[] | undefined;
type NodeOf<K extends PathNode['kind']> = Extract<PathNode, { readonly kind: K }>;

/** What `.keyvalue()` counts an object's place from. */
interface BaseObject {
  readonly document: JsonValue;
  readonly id: number;
}

export interface PathRun {
  readonly path: JsonPath;
  readonly document: JsonValue;
  readonly variables: JsonObject | undefined;
  readonly silent: boolean;
  /** Undefined: no time zone may be used. */
  readonly zoned: TextContext | undefined;
}

export class PathEvaluator implements PredicateHost {
  readonly lax: boolean;
  readonly zoned: TextContext | undefined;
  private readonly run: PathRun;
  /** Structural errors give nothing instead. */
  private forgiving: boolean;
  private throwing: boolean;
  private current: PathItem;
  private arraySize: number | undefined;
  private base: BaseObject;
  private nextBaseId: number;
  private readonly offsets = new Map<JsonValue, ReadonlyMap<object, number>>();
  private depth = 0;

  constructor(run: PathRun) {
    this.run = run;
    this.lax = run.path.lax;
    this.zoned = run.zoned;
    this.forgiving = run.path.lax;
    this.throwing = !run.silent;
    this.current = run.document;
    this.base = { document: run.document, id: 0 };
    this.nextBaseId = run.variables === undefined ? 1 : 2;
  }

  /** All items; after an error that was suppressed, those before it. Throws what the path says, 0A000, 42704, 54001. */
  items(): readonly PathItem[] {
    const sink: PathItem[] = [];
    this.apply(this.run.path.chain, 0, this.run.document, sink);
    return sink;
  }

  /** Whether there is an item at all. Strict paths are run to the end: an error may be there. */
  exists(): PathOutcome {
    const { path, document } = this.run;
    return this.outcomeOf(path.chain, document);
  }

  private outcomeOf(chain: PathChain, item: PathItem): PathOutcome {
    if (this.lax) return this.apply(chain, 0, item, undefined);
    const sink: PathItem[] = [];
    if (this.apply(chain, 0, item, sink) === 'failed') return 'failed';
    return sink.length > 0 ? 'some' : 'none';
  }

  /** An error that may be suppressed. */
  private fail(code: string, message: string, hint?: string): PathOutcome {
    if (this.throwing) throw new SqlError(code, message, hint === undefined ? {} : { hint });
    return 'failed';
  }

  /** A structural error: nothing, in lax mode. */
  private mismatch(code: string, message: string): PathOutcome {
    return this.forgiving ? 'none' : this.fail(code, message);
  }

  /** What a leaf throws, as an outcome where errors are suppressed. */
  private attempt<T>(compute: () => T): T | undefined {
    if (this.throwing) return compute();
    try {
      return compute();
    } catch (error) {
      if (error instanceof SqlError) return undefined;
      throw error;
    }
  }

  private emit(chain: PathChain, at: number, item: PathItem, sink: Sink): PathOutcome {
    if (at + 1 < chain.length) return this.apply(chain, at + 1, item, sink);
    sink?.push(item);
    return 'some';
  }

  /** @param unwrap an array stands for its elements where the step does not want arrays */
  private apply(
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
    unwrap: boolean = this.lax,
  ): PathOutcome {
    const node = chain[at];
    assert(node !== undefined, 'a chain has a node at every step', { at, length: chain.length });
    if (++this.depth > depthMax) throw new SqlError('54001', 'stack depth limit exceeded');
    const outcome = isPredicate(node)
      ? this.emit(chain, at, truthOf(this, node, item) ?? null, sink)
      : this.step(node, chain, at, item, sink, unwrap);
    this.depth--;
    return outcome;
  }

  private step(
    node: Exclude<PathNode, PathPredicate>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
    unwrap: boolean,
  ): PathOutcome {
    switch (node.kind) {
      case 'literal':
        return this.emit(chain, at, node.value, sink);
      case 'number':
        return this.emit(chain, at, new JsonNumber(node.text), sink);
      case 'string':
        return this.emit(chain, at, node.text, sink);
      case 'variable':
        return this.variable(node, chain, at, sink);
      case 'root': {
        const { document } = this.run;
        return this.from({ document, id: 0 }, () => this.emit(chain, at, document, sink));
      }
      case 'current':
        return this.emit(chain, at, this.current, sink);
      case 'last':
        assert(this.arraySize !== undefined, 'last stands in a subscript', {});
        return this.emit(chain, at, new JsonNumber(String(this.arraySize - 1)), sink);
      case 'arithmetic':
        return this.arithmetic(node, chain, at, item, sink);
      case 'sign':
        return this.sign(node, chain, at, item, sink);
      case 'any element':
        if (isArrayItem(item)) return this.each(item, chain, at + 1, sink, this.lax);
        if (this.lax) return this.emit(chain, at, item, sink);
        return this.mismatch(
          '22039',
          'jsonpath wildcard array accessor can only be applied to an array',
        );
      case 'subscripts':
        return this.subscripts(node, chain, at, item, sink);
      case 'any level':
        return this.anyLevel(node, chain, at, item, sink);
      default:
        // These want no arrays.
        if (unwrap && isArrayItem(item) && wantsNoArray(node))
          return this.each(item, chain, at, sink, false);
        return this.member(node, chain, at, item, sink);
    }
  }

  private member(
    node: NodeOf<'key' | 'any member' | 'filter' | 'method' | 'datetime'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    switch (node.kind) {
      case 'key': {
        if (!(item instanceof JsonObject))
          return this.mismatch(
            '2203A',
            'jsonpath member accessor can only be applied to an object',
          );
        const value = item.get(node.text);
        if (value !== undefined) return this.emit(chain, at, value, sink);
        return this.mismatch('2203A', `JSON object does not contain key "${node.text}"`);
      }
      case 'any member':
        if (item instanceof JsonObject)
          return this.each(childrenOf(item), chain, at + 1, sink, this.lax);
        return this.mismatch(
          '2203C',
          'jsonpath wildcard member accessor can only be applied to an object',
        );
      case 'filter': {
        const before = this.current;
        this.current = item;
        const truth = truthOf(this, node.predicate, item);
        this.current = before;
        return truth === true ? this.emit(chain, at, item, sink) : 'none';
      }
      case 'datetime': {
        const moment = this.attempt(() => momentOf(item, node.template));
        return moment === undefined ? 'failed' : this.emit(chain, at, moment, sink);
      }
      default:
        return this.method(node, chain, at, item, sink);
    }
  }

  private method(
    { method }: NodeOf<'method'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    switch (method) {
      case 'type':
        return this.emit(chain, at, itemType(item), sink);
      case 'size': {
        if (!isArrayItem(item) && !this.lax)
          return this.mismatch(
            '22039',
            'jsonpath item method .size() can only be applied to an array',
          );
        const size = isArrayItem(item) ? item.length : 1;
        return this.emit(chain, at, new JsonNumber(String(size)), sink);
      }
      case 'double': {
        const value = this.attempt(() => doubleOf(item));
        return value === undefined ? 'failed' : this.emit(chain, at, value, sink);
      }
      case 'keyvalue':
        return this.keyValue(chain, at, item, sink);
      default: {
        const compute = numericMethods[method];
        if (!(item instanceof JsonNumber) || compute === undefined)
          return this.fail(
            '22036',
            `jsonpath item method .${method}() can only be applied to a numeric value`,
          );
        return this.emit(chain, at, new JsonNumber(compute(item.text)), sink);
      }
    }
  }

  /** Throws 42704. */
  private variable(
    { text }: NodeOf<'variable'>,
    chain: PathChain,
    at: number,
    sink: Sink,
  ): PathOutcome {
    const { variables } = this.run;
    const value = variables?.get(text);
    if (variables === undefined || value === undefined)
      throw new SqlError('42704', `could not find jsonpath variable "${text}"`);
    return this.from({ document: variables, id: 1 }, () => this.emit(chain, at, value, sink));
  }

  private from(base: BaseObject, run: () => PathOutcome): PathOutcome {
    const before = this.base;
    this.base = base;
    const outcome = run();
    this.base = before;
    return outcome;
  }

  private keyValue(chain: PathChain, at: number, item: PathItem, sink: Sink): PathOutcome {
    if (!(item instanceof JsonObject))
      return this.fail(
        '2203C',
        'jsonpath item method .keyvalue() can only be applied to an object',
      );
    const { document } = this.base;
    let offsets = this.offsets.get(document);
    if (offsets === undefined) {
      offsets = containerOffsets(document);
      this.offsets.set(document, offsets);
    }
    const id = (offsets.get(item) ?? 0) + this.base.id * idsPerBase;
    let outcome: PathOutcome = 'none';
    for (const { key, value } of item.members) {
      const made = keyValueObject(key, value, id);
      const base = { document: made, id: this.nextBaseId++ };
      const one = this.from(base, () => this.emit(chain, at, made, sink));
      if (one === 'failed' || (one === 'some' && sink === undefined)) return one;
      if (one === 'some') outcome = one;
    }
    return outcome;
  }

  /** The rest of the chain, from a step on, for each value. */
  private each(
    values: readonly JsonValue[],
    chain: PathChain,
    at: number,
    sink: Sink,
    unwrap: boolean,
  ): PathOutcome {
    let outcome: PathOutcome = 'none';
    for (const value of values) {
      let one: PathOutcome = 'some';
      if (at < chain.length) one = this.apply(chain, at, value, sink, unwrap);
      else sink?.push(value);
      if (one === 'failed' || (one === 'some' && sink === undefined)) return one;
      if (one === 'some') outcome = one;
    }
    return outcome;
  }

  private subscripts(
    node: NodeOf<'subscripts'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    if (!isArrayItem(item) && !this.lax)
      return this.mismatch('22039', 'jsonpath array accessor can only be applied to an array');
    const elements: readonly PathItem[] = isArrayItem(item) ? item : [item];
    const before = this.arraySize;
    this.arraySize = elements.length;
    let outcome: PathOutcome = 'none';
    for (const { from, to } of node.subscripts) {
      const first = this.index(from, item);
      const last = first === undefined || to === undefined ? first : this.index(to, item);
      outcome =
        first === undefined || last === undefined
          ? 'failed'
          : this.slice(elements, [first, last], chain, at, sink);
      if (outcome === 'failed' || (outcome === 'some' && sink === undefined)) break;
    }
    this.arraySize = before;
    return outcome;
  }

  private slice(
    elements: readonly PathItem[],
    [first, last]: readonly [number, number],
    chain: PathChain,
    at: number,
    sink: Sink,
  ): PathOutcome {
    if (!this.forgiving && (first < 0 || first > last || last >= elements.length))
      return this.fail('22033', 'jsonpath array subscript is out of bounds');
    let outcome: PathOutcome = 'none';
    for (let i = Math.max(0, first); i <= Math.min(last, elements.length - 1); i++) {
      const element = elements[i];
      if (element === undefined) continue;
      outcome = this.emit(chain, at, element, sink);
      if (outcome === 'failed' || (outcome === 'some' && sink === undefined)) break;
    }
    return outcome;
  }

  /** Undefined: an error that was suppressed. */
  private index(chain: PathChain, item: PathItem): number | undefined {
    const sink: PathItem[] = [];
    if (this.apply(chain, 0, item, sink) === 'failed') return undefined;
    const [only] = sink;
    if (sink.length !== 1 || !(only instanceof JsonNumber)) {
      this.fail('22033', 'jsonpath array subscript is not a single numeric value');
      return undefined;
    }
    const index = truncateNumeric(only.text, 0);
    if (
      compareNumeric(index, '2147483647') <= 0 &&
      compareNumeric(index, '-2147483648') >= 0 &&
      index !== 'NaN'
    )
      return Number(index);
    this.fail('22033', 'jsonpath array subscript is out of integer range');
    return undefined;
  }

  private anyLevel(
    { first, last }: NodeOf<'any level'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    const before = this.forgiving;
    this.forgiving = true;
    let outcome: PathOutcome = 'none';
    if (first === 0) outcome = this.emit(chain, at, item, sink);
    const done = outcome === 'some' && sink === undefined;
    // PostgreSQL goes on where the item itself has failed and has others inside.
    if (!done && isContainer(item))
      outcome = this.levels(childrenOf(item), { level: 1, first, last }, chain, at + 1, sink);
    this.forgiving = before;
    return outcome;
  }

  private levels(
    values: readonly JsonValue[],
    bounds: { readonly level: number; readonly first: number; readonly last: number },
    chain: PathChain,
    at: number,
    sink: Sink,
  ): PathOutcome {
    const { level, first, last } = bounds;
    if (level > last) return 'none';
    if (++this.depth > depthMax) throw new SqlError('54001', 'stack depth limit exceeded');
    const leavesOnly = first === Infinity && last === Infinity;
    let outcome: PathOutcome = 'none';
    for (const value of values) {
      const inner = isContainer(value);
      if (level >= first || (leavesOnly && !inner)) {
        outcome = this.each([value], chain, at, sink, this.lax);
        if (outcome === 'failed' || (outcome === 'some' && sink === undefined)) break;
      }
      if (level >= last || !inner) continue;
      outcome = this.levels(childrenOf(value), { ...bounds, level: level + 1 }, chain, at, sink);
      if (outcome === 'failed' || (outcome === 'some' && sink === undefined)) break;
    }
    this.depth--;
    return outcome;
  }

  /** The items of an operand; in lax mode arrays among them are unwrapped. Undefined: an error that was suppressed. */
  private operand(
    chain: PathChain,
    item: PathItem,
    unwrap: boolean,
  ): readonly PathItem[] | undefined {
    const sink: PathItem[] = [];
    if (this.apply(chain, 0, item, sink) === 'failed') return undefined;
    if (!unwrap || !this.lax || !sink.some(isArrayItem)) return sink;
    return sink.flatMap((one): readonly PathItem[] => (isArrayItem(one) ? one : [one]));
  }

  private arithmetic(
    { mark, left, right }: NodeOf<'arithmetic'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    const a = this.operand(left, item, true);
    if (a === undefined) return 'failed';
    const b = this.operand(right, item, true);
    if (b === undefined) return 'failed';
    const [x, y] = [a[0], b[0]];
    const not = (side: string) =>
      this.fail(
        '22038',
        `${side} operand of jsonpath operator ${mark} is not a single numeric value`,
      );
    if (a.length !== 1 || !(x instanceof JsonNumber)) return not('left');
    if (b.length !== 1 || !(y instanceof JsonNumber)) return not('right');
    const result = this.attempt(() => arithmetic[mark](x.text, y.text));
    return result === undefined ? 'failed' : this.emit(chain, at, new JsonNumber(result), sink);
  }

  private sign(
    { mark, operand }: NodeOf<'sign'>,
    chain: PathChain,
    at: number,
    item: PathItem,
    sink: Sink,
  ): PathOutcome {
    const values = this.operand(operand, item, true);
    if (values === undefined) return 'failed';
    const onlyWhether = sink === undefined && at + 1 === chain.length;
    let outcome: PathOutcome = 'none';
    for (const value of values) {
      if (!(value instanceof JsonNumber)) {
        if (onlyWhether) continue;
        return this.fail(
          '2203B',
          `operand of unary jsonpath operator ${mark} is not a numeric value`,
        );
      }
      const signed = mark === '-' ? new JsonNumber(negateNumeric(value.text)) : value;
      const one = this.emit(chain, at, signed, sink);
      if (one === 'failed' || (one === 'some' && sink === undefined)) return one;
      if (one === 'some') outcome = one;
    }
    return outcome;
  }

  /** An operand of a predicate: its errors make the predicate unknown. */
  operandOf(chain: PathChain, item: PathItem, unwrap: boolean): readonly PathItem[] | undefined {
    return this.quietly(() => this.operand(chain, item, unwrap));
  }

  /** `exists (…)` of a predicate. */
  existsIn(chain: PathChain, item: PathItem): PathOutcome {
    return this.quietly(() => this.outcomeOf(chain, item));
  }

  /** Throws 54001 where the run is too deep already. */
  deeper<T>(run: () => T): T {
    if (++this.depth > depthMax) throw new SqlError('54001', 'stack depth limit exceeded');
    const result = run();
    this.depth--;
    return result;
  }

  private quietly<T>(run: () => T): T {
    const before = this.throwing;
    this.throwing = false;
    const result = run();
    this.throwing = before;
    return result;
  }
}

/** `.type()` and `.size()` take arrays as they are. */
function wantsNoArray(node: PathNode): boolean {
  return node.kind !== 'method' || (node.method !== 'type' && node.method !== 'size');
}

function childrenOf(item: JsonObject | readonly JsonValue[]): readonly JsonValue[] {
  return item instanceof JsonObject ? item.members.map((one) => one.value) : item;
}
