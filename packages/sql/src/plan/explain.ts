/** The words of EXPLAIN: they say what storage does. How they are laid out: explain-node.ts. */

import { domainCall } from '../bind/domain-call.ts';
import type { AggregateExpression, Expression, SubqueryExpression } from '../bind/expression.ts';
import type { NodeText } from '../execute/operator.ts';
import { formatText, type TextContext } from '../types/text-codec.ts';
import { utcZone } from '../types/time-zone.ts';
import { isRestricted } from './access-path.ts';
import type { TableScan } from './plan.ts';

const printing: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };

export function sortKeyText(
  key: { readonly descending: boolean; readonly nullsFirst: boolean },
  printed: string,
): string {
  const nulls =
    key.nullsFirst === key.descending ? '' : key.nullsFirst ? ' NULLS FIRST' : ' NULLS LAST';
  return `${printed}${key.descending ? ' DESC' : ''}${nulls}`;
}

export function scanText(scan: TableScan, alias: string, filter: Expression | undefined): NodeText {
  const { table } = scan.store;
  const { access, index } = scan;
  const word = scan.points
    ? 'Point Lookup'
    : index !== undefined
      ? `Index ${index.covering ? 'Only ' : ''}Scan`
      : isRestricted(access)
        ? 'Key Range Scan'
        : 'Full Scan';
  const using = index === undefined ? '' : ` using ${index.store.index.name}`;
  const conditions = accessConditions(scan);
  return {
    head: `${word}${scan.reverse ? ' Backward' : ''}${using} on ${tableText(table.name, alias)}`,
    details: [
      ...(conditions.length === 0
        ? []
        : [`${index === undefined ? 'Key' : 'Index'} Cond: ${conditions.join(' AND ')}`]),
      ...filterText(filter),
    ],
  };
}

function accessConditions({ access, parts }: TableScan): string[] {
  const { equals, lower, upper, pattern, notNull } = access;
  const conditions = equals.map((one, i) => {
    const name = parts[i]?.name ?? '';
    if (one.kind === 'null') return `(${name} IS NULL)`;
    if (one.kind === 'array') return `(${name} = ANY (${print(one.array)}))`;
    const printed = one.values.map((value) => print(value));
    return printed.length === 1
      ? `(${name} = ${printed[0]})`
      : `(${name} IN (${printed.join(', ')}))`;
  });
  const next = parts[equals.length]?.name ?? '';
  if (lower !== undefined)
    conditions.push(`(${next} >${lower.inclusive ? '=' : ''} ${print(lower.value)})`);
  if (upper !== undefined)
    conditions.push(`(${next} <${upper.inclusive ? '=' : ''} ${print(upper.value)})`);
  if (pattern !== undefined) conditions.push(`(${next} ~~ ${print(pattern)})`);
  if (notNull) conditions.push(`(${next} IS NOT NULL)`);
  return conditions;
}

export function tableText(name: string, alias: string): string {
  return alias === name || alias === '' ? name : `${name} ${alias}`;
}

export function filterText(filter: Expression | undefined, word = 'Filter'): string[] {
  return filter === undefined ? [] : [`${word}: ${print(filter, word !== 'Filter')}`];
}

/**
 * An expression in SQL, for people.
 * @param qualified columns with the names of their tables
 */
export function print(expression: Expression, qualified = false): string {
  const own = (one: Expression) => print(one, qualified);
  const list = (all: readonly Expression[], joint: string) => `(${all.map(own).join(joint)})`;
  switch (expression.kind) {
    case 'constant':
      return printConstant(expression);
    case 'parameter':
      return `$${expression.index + 1}`;
    case 'column':
      if (expression.standsFor !== undefined) return own(expression.standsFor);
      return qualified && expression.relation !== ''
        ? `${expression.relation}.${expression.name}`
        : expression.name;
    case 'argument':
      return print(expression.outer, true);
    case 'subquery':
      return subqueryText(expression, own);
    case 'grouping':
      return 'GROUPING(…)';
    case 'window':
      return `${expression.function.signature.name}(${expression.arguments.map(own).join(', ')}) OVER (?)`;
    case 'set':
      return `${expression.signature.name}${list(expression.arguments, ', ')}`;
    case 'call':
      return printCall(expression, own);
    case 'concat':
      return `${expression.withSeparator ? 'concat_ws' : 'concat'}${list(expression.arguments, ', ')}`;
    case 'cast':
    case 'length':
      return `${own(expression.argument)}::${expression.type.display}`;
    case 'comparison':
      return `(${own(expression.left)} ${expression.operator} ${own(expression.right)})`;
    case 'and':
      return list(expression.arguments, ' AND ');
    case 'or':
      return list(expression.arguments, ' OR ');
    case 'not':
      return `(NOT ${own(expression.argument)})`;
    case 'is-null':
      return `(${own(expression.argument)} IS ${expression.negated ? 'NOT ' : ''}NULL)`;
    case 'boolean-test': {
      const word =
        expression.expected === null ? 'UNKNOWN' : String(expression.expected).toUpperCase();
      return `(${own(expression.argument)} IS ${expression.negated ? 'NOT ' : ''}${word})`;
    }
    case 'distinct':
      return `(${own(expression.left)} IS ${expression.negated ? 'NOT ' : ''}DISTINCT FROM ${own(expression.right)})`;
    case 'in':
      return `(${own(expression.left)} ${expression.negated ? 'NOT ' : ''}IN ${list(expression.items, ', ')})`;
    case 'case':
      return `CASE ${expression.branches
        .map(({ when, result }) => `WHEN ${own(when)} THEN ${own(result)}`)
        .join(
          ' ',
        )}${expression.otherwise === undefined ? '' : ` ELSE ${own(expression.otherwise)}`} END`;
    case 'coalesce':
      return `COALESCE${list(expression.arguments, ', ')}`;
    case 'nullif':
      return `NULLIF(${own(expression.comparison.left)}, ${own(expression.comparison.right)})`;
    case 'extreme':
      return `${expression.direction === 1 ? 'GREATEST' : 'LEAST'}${list(expression.arguments, ', ')}`;
    case 'aggregate':
      return aggregateText(expression, own);
  }
}

function printConstant(expression: Extract<Expression, { kind: 'constant' }>): string {
  const { type, value } = expression;
  if (value === null) return `NULL::${type.display}`;
  const text = formatText(type, value, printing);
  if (type.name === 'int4' || type.name === 'numeric') return text;
  if (type.name === 'bool') return String(value);
  return `'${text.replaceAll("'", "''")}'::${type.display}`;
}

const withoutParentheses: ReadonlySet<string> = new Set([
  'current_catalog',
  'current_role',
  'current_user',
  'session_user',
  'user',
  'current_date',
  'current_time',
  'current_timestamp',
  'localtime',
  'localtimestamp',
]);

/** Keywords that take a precision in parentheses, and are not called. */
const withPrecision: ReadonlySet<string> = new Set([
  'current_time',
  'current_timestamp',
  'localtime',
  'localtimestamp',
]);

function printCall(
  expression: Extract<Expression, { kind: 'call' }>,
  own: (one: Expression) => string,
): string {
  const { name } = expression.signature;
  const printed = expression.arguments.map(own);
  if (name === domainCall) return `(${printed[0]})::${expression.type.display}`;
  if (printed.length === 0 && withoutParentheses.has(name)) return name.toUpperCase();
  if (withPrecision.has(name)) return `${name.toUpperCase()}(${printed.join(', ')})`;
  const quantifier = /^(any|all) (.+)$/.exec(name);
  if (quantifier !== null)
    return `(${printed[0]} ${quantifier[2]} ${quantifier[1]?.toUpperCase()} (${printed[1]}))`;
  if (/^[a-z]/.test(name)) return `${name}(${printed.join(', ')})`;
  return printed.length === 1 ? `(${name} ${printed[0]})` : `(${printed.join(` ${name} `)})`;
}

function aggregateText(
  { signature, arguments: values, distinct, order, filter }: AggregateExpression,
  own: (one: Expression) => string,
): string {
  const ordered = order.map((item) => sortKeyText(item, own(item.expression))).join(', ');
  const inner =
    values.length === 0 && signature.orderedSet === undefined ? '*' : values.map(own).join(', ');
  const within = signature.orderedSet !== undefined;
  const call = `${signature.name}(${distinct ? 'DISTINCT ' : ''}${inner}${ordered === '' || within ? '' : ` ORDER BY ${ordered}`})`;
  const group = within ? ` WITHIN GROUP (ORDER BY ${ordered})` : '';
  return `${call}${group}${filter === undefined ? '' : ` FILTER (WHERE ${own(filter)})`}`;
}

function subqueryText(
  { form, operands, subplan }: SubqueryExpression,
  own: (one: Expression) => string,
): string {
  const name = subplan?.name ?? 'SubPlan';
  if (form === 'exists') return `EXISTS(${name})`;
  if (form === 'scalar') return `(${name})`;
  if (form === 'array') return `ARRAY(${name})`;
  return `(${form.toUpperCase()} ${operands.map(own).join(', ')} (${name}))`;
}
