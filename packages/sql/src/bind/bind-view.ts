/** A view's query, bound where the view is read: by the names that it was made under. */
import type { ViewDescriptor } from '../catalog/descriptor.ts';
import { Parser } from '../parse/parser.ts';
import { bindOpenQuery } from './bind-query.ts';
import { coerceImplicitly } from './coerce.ts';
import { BindContext } from './context.ts';
import { topLevel } from './level.ts';
import type { Relation } from './relation.ts';

const parser = new Parser();

/** Its columns have the view's types. Throws as any query does. */
export function bindViewQuery(outer: BindContext, view: ViewDescriptor): Relation {
  const [statement] = parser.parse(view.query);
  const tree = statement?.node.tree;
  if (statement === undefined || tree === undefined || !('SelectStmt' in tree))
    throw new RangeError('a view is a query');
  const context = new BindContext({
    source: statement.node.source,
    parameterTypes: [],
    evaluation: outer.evaluation,
    names: outer.names.within(view.searchPath),
  });
  const open = bindOpenQuery(context, tree.SelectStmt, topLevel());
  return open.finish((output, i) => {
    const column = view.columns[i];
    return column === undefined ? output : coerceImplicitly(context, output, column.type);
  });
}
