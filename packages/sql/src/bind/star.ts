/**
 * Stars in lists of expressions: `*`, `t.*` and `(row).*` stand for one expression for each column in target lists, in
 * ROW(…) and in VALUES. Everywhere else `t.*` is the row as one value, which the expression binder sees to.
 */
import type { Node } from 'libpg-query';
import { recordType } from '../types/type.ts';
import { locationOf, nameParts } from './ast.ts';
import { fieldOf } from './bind-set-function.ts';
import type { Binder } from './binder.ts';
import type { Expression } from './expression.ts';
import { qualifierOf } from './scope.ts';
import { fieldsOf, recordFieldAt } from './whole-row.ts';

export interface StarColumn {
  readonly name: string;
  readonly expression: Expression;
}

/** @returns the columns that a star stands for; undefined: the node is none. Throws 42601, 42P01, 42809. */
export function bindStar(
  binder: Binder,
  node: Node | undefined,
): readonly StarColumn[] | undefined {
  if (node === undefined) return undefined;
  if ('ColumnRef' in node) {
    const qualifier = starQualifier(node.ColumnRef.fields);
    return qualifier && columnsOf(binder, qualifier, locationOf(node));
  }
  if (!('A_Indirection' in node)) return undefined;
  const { arg, indirection = [] } = node.A_Indirection;
  const last = indirection[indirection.length - 1];
  if (last === undefined || !('A_Star' in last)) return undefined;
  const steps = indirection.slice(0, -1);
  const whole = steps.length === 0 ? arg : withSteps(node.A_Indirection, steps);
  return fieldsOfRow(binder, binder.bind(whole));
}

/** The expressions of a list in which stars stand for columns. */
export function bindList(binder: Binder, nodes: readonly Node[]): Expression[] {
  return nodes.flatMap(
    (node) => bindStar(binder, node)?.map((one) => one.expression) ?? binder.bind(node),
  );
}

/** An item of a list that may hold DEFAULT: what a star stands for is bound, other items are not yet. */
export interface ListItem {
  readonly node: Node;
  readonly bound: Expression | undefined;
}

/** The items of a list in which stars stand for columns. */
export function listWithStars(binder: Binder, nodes: readonly Node[]): readonly ListItem[] {
  return nodes.flatMap((node): readonly ListItem[] => {
    const star = bindStar(binder, node);
    return (
      star?.map(({ expression }) => ({ node, bound: expression })) ?? [{ node, bound: undefined }]
    );
  });
}

/** The names before the star of `a.*`, none for `*`; undefined: no star ends the reference. */
export function starQualifier(fields: readonly Node[] | undefined): readonly string[] | undefined {
  const last = fields?.[fields.length - 1];
  if (last === undefined || !('A_Star' in last)) return undefined;
  return nameParts(fields?.slice(0, -1));
}

function withSteps(node: object, indirection: readonly Node[]): Node {
  return { A_Indirection: { ...node, indirection: [...indirection] } };
}

function columnsOf(
  { scope, context }: Binder,
  qualifier: readonly string[],
  location: number | undefined,
): readonly StarColumn[] {
  if (qualifier.length > 0)
    return scope.columnsOf(context, qualifierOf(context, qualifier, '*', location), location);
  if (scope.items.length === 0)
    throw context.error('42601', 'SELECT * with no tables specified is not valid', location);
  return scope.all(context, location);
}

function fieldsOfRow({ context }: Binder, row: Expression): readonly StarColumn[] {
  const fields = fieldsOf(row);
  if (fields !== undefined) return fields;
  if (row.kind === 'set' && row.field === undefined)
    return row.names.flatMap((name) => {
      const expression = fieldOf(row, name);
      return expression === undefined ? [] : { name, expression };
    });
  if (row.type !== recordType)
    throw context.error('42809', `type ${row.type.display} is not composite`, undefined);
  const shape = context.records[row.modifier];
  if (shape === undefined)
    throw context.error('42809', 'record type has not been registered', undefined);
  return shape.names.flatMap((name, i) => {
    const expression = recordFieldAt(shape, row, i);
    return expression === undefined ? [] : { name, expression };
  });
}
