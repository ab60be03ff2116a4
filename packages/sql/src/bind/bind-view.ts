/** A view's query, bound where the view is read: by the names that it was made under. */
import type { ViewDescriptor } from '../catalog/descriptor.ts';
import { Parser } from '../parse/parser.ts';
import { bindOpenQuery } from './bind-query.ts';
import { coerceImplicitly, resolveUnknown } from './coerce.ts';
import { BindContext } from './context.ts';
import { column } from './expression.ts';
import { topLevel } from './level.ts';
import type { Relation } from './relation.ts';

const parser = new Parser();

/** What a view, materialized or not, has to be bound. */
export type BindableView = Pick<
  ViewDescriptor,
  'name' | 'owner' | 'query' | 'searchPath' | 'columns'
>;

/** Its columns have the view's types. Throws as any query does. */
export function bindViewQuery(outer: BindContext, view: BindableView): Relation {
  const [statement] = parser.parse(view.query);
  const tree = statement?.node.tree;
  if (statement === undefined || tree === undefined || !('SelectStmt' in tree))
    throw new RangeError('a view is a query');
  const context = new BindContext({
    source: statement.node.source,
    parameterTypes: [],
    evaluation: outer.evaluation,
    names: outer.names.within(view.searchPath),
    judgeOf: outer.judgeOf,
    access: outer.access.asOwner(view.owner),
  });
  const open = bindOpenQuery(context, tree.SelectStmt, topLevel());
  const places = placesOf(context, view, open.columns);
  const relation = open.finish((output, i) => {
    const target = view.columns[places.indexOf(i)];
    return target === undefined
      ? resolveUnknown(context, output)
      : coerceImplicitly(context, output, target.type);
  });
  if (places.every((place, i) => place === i) && relation.types.length === places.length)
    return relation;
  const types = view.columns.map((one) => one.type);
  const outputs = view.columns.map((one, i) =>
    column(one.type, places[i] ?? 0, { name: one.name }),
  );
  return { kind: 'project', input: relation, outputs, types };
}

/** Where the view's columns are among the query's: a star in it may have come to mean more. Throws 0A000. */
function placesOf(
  context: BindContext,
  view: BindableView,
  columns: readonly { readonly name: string }[],
): number[] {
  if (columns.length === view.columns.length) return view.columns.map((_column, i) => i);
  return view.columns.map(({ output }) => {
    const place = columns.findIndex((one) => one.name === output);
    if (place < 0 || columns.findLastIndex((one) => one.name === output) !== place)
      throw context.unsupported(`view "${view.name}" over a table whose columns have changed`);
    return place;
  });
}
