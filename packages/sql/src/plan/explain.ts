/** The text of EXPLAIN. Shapes follow PostgreSQL's (`->` and two more blanks per level); words say what storage does. */
import type { BoundSelect } from '../bind/bound.ts';
import type { Expression } from '../bind/expression.ts';
import { formatText, type TextContext } from '../types/text-codec.ts';
import { utcZone } from '../types/time-zone.ts';
import type { SelectPlan, TableScan } from './plan.ts';

const printing: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };

type Explained = Omit<SelectPlan, 'lines'>;

export function explainSelect(
  select: BoundSelect,
  plan: Explained,
  filter: Expression | undefined,
): string[] {
  let lines = explainSource(select, plan, filter);
  if (select.grouping !== undefined) {
    const { keys, having } = select.grouping;
    const word = keys.length === 0 ? 'Aggregate' : 'HashAggregate';
    const details = [
      ...(keys.length === 0 ? [] : [`Group Key: ${keys.map(print).join(', ')}`]),
      ...(having === undefined ? [] : [`Filter: ${print(having)}`]),
    ];
    lines = above(word, details, lines);
  }
  if (plan.distinct) lines = above('Unique (hashed)', [], lines);
  if (plan.sort.length > 0) {
    const keys = select.order.map((key) => {
      const output = select.outputs[key.output];
      const nulls =
        key.nullsFirst === key.descending ? '' : key.nullsFirst ? ' NULLS FIRST' : ' NULLS LAST';
      return `${output === undefined ? '' : print(output)}${key.descending ? ' DESC' : ''}${nulls}`;
    });
    lines = above('Sort', [`Sort Key: ${keys.join(', ')}`], lines);
  }
  if (plan.limit !== undefined || plan.offset !== undefined) lines = above('Limit', [], lines);
  return lines;
}

function explainSource(
  select: BoundSelect,
  plan: Explained,
  filter: Expression | undefined,
): string[] {
  const details = filter === undefined ? [] : [`  Filter: ${print(filter)}`];
  switch (plan.source.kind) {
    case 'table': {
      const alias = select.source.kind === 'table' ? select.source.alias : '';
      return explainScan(plan.source, alias, filter);
    }
    case 'none':
      return ['Result', ...details];
    case 'values':
      return ['Values Scan', ...details];
    case 'series':
      return ['Function Scan on generate_series', ...details];
  }
}

export function explainScan(
  scan: TableScan,
  alias: string,
  filter: Expression | undefined,
): string[] {
  const { table, keyColumns } = scan.store;
  const { access } = scan;
  const restricted =
    access.equals.length > 0 || access.lower !== undefined || access.upper !== undefined;
  const word = scan.points ? 'Point Lookup' : restricted ? 'Key Range Scan' : 'Full Scan';
  const name = alias === table.name ? table.name : `${table.name} ${alias}`;
  const columnName = (i: number) => table.columns[keyColumns[i]?.index ?? -1]?.name ?? '';
  const conditions = access.equals.map((values, i) => {
    const printed = values.map(print);
    return printed.length === 1
      ? `(${columnName(i)} = ${printed[0]})`
      : `(${columnName(i)} IN (${printed.join(', ')}))`;
  });
  const next = columnName(access.equals.length);
  if (access.lower !== undefined)
    conditions.push(`(${next} >${access.lower.inclusive ? '=' : ''} ${print(access.lower.value)})`);
  if (access.upper !== undefined)
    conditions.push(`(${next} <${access.upper.inclusive ? '=' : ''} ${print(access.upper.value)})`);
  return [
    `${word}${scan.reverse ? ' Backward' : ''} on ${name}`,
    ...(conditions.length === 0 ? [] : [`  Key Cond: ${conditions.join(' AND ')}`]),
    ...(filter === undefined ? [] : [`  Filter: ${print(filter)}`]),
  ];
}

export function explainWrite(word: string, table: string, lines: readonly string[]): string[] {
  return above(`${word} on ${table}`, [], lines);
}

/** A node over another: details under its head, the child indented under an arrow. */
function above(head: string, details: readonly string[], child: readonly string[]): string[] {
  const [first = '', ...rest] = child;
  return [
    head,
    ...details.map((detail) => `  ${detail}`),
    `  ->  ${first}`,
    ...rest.map((line) => `      ${line}`),
  ];
}

/** An expression in SQL, for people. */
function print(expression: Expression): string {
  const list = (all: readonly Expression[], joint: string) => `(${all.map(print).join(joint)})`;
  switch (expression.kind) {
    case 'constant':
      return printConstant(expression);
    case 'parameter':
      return `$${expression.index + 1}`;
    case 'column':
      return expression.name;
    case 'call':
      return printCall(expression);
    case 'concat':
      return `${expression.withSeparator ? 'concat_ws' : 'concat'}${list(expression.arguments, ', ')}`;
    case 'cast':
    case 'length':
      return `${print(expression.argument)}::${expression.type.display}`;
    case 'comparison':
      return `(${print(expression.left)} ${expression.operator} ${print(expression.right)})`;
    case 'and':
      return list(expression.arguments, ' AND ');
    case 'or':
      return list(expression.arguments, ' OR ');
    case 'not':
      return `(NOT ${print(expression.argument)})`;
    case 'is-null':
      return `(${print(expression.argument)} IS ${expression.negated ? 'NOT ' : ''}NULL)`;
    case 'boolean-test': {
      const word =
        expression.expected === null ? 'UNKNOWN' : String(expression.expected).toUpperCase();
      return `(${print(expression.argument)} IS ${expression.negated ? 'NOT ' : ''}${word})`;
    }
    case 'distinct':
      return `(${print(expression.left)} IS ${expression.negated ? 'NOT ' : ''}DISTINCT FROM ${print(expression.right)})`;
    case 'in':
      return `(${print(expression.left)} ${expression.negated ? 'NOT ' : ''}IN ${list(expression.items, ', ')})`;
    case 'case':
      return `CASE ${expression.branches
        .map(({ when, result }) => `WHEN ${print(when)} THEN ${print(result)}`)
        .join(
          ' ',
        )}${expression.otherwise === undefined ? '' : ` ELSE ${print(expression.otherwise)}`} END`;
    case 'coalesce':
      return `COALESCE${list(expression.arguments, ', ')}`;
    case 'nullif':
      return `NULLIF(${print(expression.comparison.left)}, ${print(expression.comparison.right)})`;
    case 'extreme':
      return `${expression.direction === 1 ? 'GREATEST' : 'LEAST'}${list(expression.arguments, ', ')}`;
    case 'aggregate':
      return `${expression.signature.name}(${expression.argument === undefined ? '*' : print(expression.argument)})`;
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

function printCall(expression: Extract<Expression, { kind: 'call' }>): string {
  const { name } = expression.signature;
  const printed = expression.arguments.map(print);
  if (/^[a-z]/.test(name)) return `${name}(${printed.join(', ')})`;
  return printed.length === 1 ? `(${name} ${printed[0]})` : `(${printed.join(` ${name} `)})`;
}
