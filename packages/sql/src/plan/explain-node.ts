/** EXPLAIN's tree, and its two forms: text as PostgreSQL indents it (`->` and two more blanks per level), and JSON. */
import type { NodeText, Operator } from '../execute/operator.ts';
import type { NodeRecord, Recorder } from '../execute/recorder.ts';

export interface ExplainOptions {
  /** The statement is run. */
  readonly analyze: boolean;
  readonly format: 'text' | 'json';
  /** Estimates of rows are shown. */
  readonly costs: boolean;
  /** How long the run took is shown. */
  readonly summary: boolean;
}

export interface ExplainNode extends NodeText {
  /** An estimate. */
  readonly rows: number | undefined;
  /** Undefined: it was not run. */
  readonly record: NodeRecord | undefined;
  readonly plans: readonly { readonly title: string | undefined; readonly node: ExplainNode }[];
}

/** A plan that hangs beside the tree: a named query, or a query in an expression. */
export interface NamedPlan {
  readonly title: string;
  readonly operator: Operator;
}

/** @param estimates rows of operators as they were planned */
export function explainNode(
  root: Operator,
  subplans: readonly NamedPlan[],
  facts: {
    readonly estimates: ReadonlyMap<Operator, number>;
    readonly recorder: Recorder | undefined;
  },
): ExplainNode {
  const [only] = root.inputs;
  if (root.text === undefined && root.inputs.length === 1 && only !== undefined)
    return explainNode(only, subplans, facts);
  return {
    ...(root.text?.() ?? { head: 'Result', details: [] }),
    rows: facts.estimates.get(root),
    record: facts.recorder?.nodes.get(root),
    plans: [
      ...subplans.map(({ title, operator }) => ({ title, node: explainNode(operator, [], facts) })),
      ...root.inputs.map((input) => ({ title: undefined, node: explainNode(input, [], facts) })),
    ],
  };
}

export interface Outcome {
  readonly recorder: Recorder;
  readonly ms: number;
}

/** The lines of EXPLAIN. @param outcome of the run, where there was one */
export function explainLines(
  node: ExplainNode,
  options: ExplainOptions,
  outcome?: Outcome,
): string[] {
  if (options.format === 'json') {
    const { requests, rows, bytes } = outcome?.recorder.storage ?? {};
    const document = {
      Plan: jsonOf(node, undefined, options),
      ...(outcome === undefined
        ? {}
        : { 'Storage Requests': requests, 'Storage Rows': rows, 'Storage Bytes': bytes }),
      ...evaluatedJson(outcome),
      ...(outcome === undefined || !options.summary ? {} : { 'Execution Time': outcome.ms }),
    };
    return [JSON.stringify([document], undefined, 2)];
  }
  const lines = linesOf(node, options);
  if (outcome === undefined) return lines;
  const { requests, rows, bytes } = outcome.recorder.storage;
  lines.push(`Storage: requests=${requests} rows=${rows} bytes=${bytes}`);
  const { evaluated } = outcome.recorder;
  if (evaluated.requests > 0)
    lines.push(
      `Evaluated at Stores: requests=${evaluated.requests} rows=${evaluated.rowsRead} ` +
        `ranges=${evaluated.ranges.size} stores=${evaluated.stores.size}`,
    );
  if (options.summary) lines.push(`Execution Time: ${outcome.ms.toFixed(3)} ms`);
  return lines;
}

/** What stores made of rows that were not sent. */
function evaluatedJson(outcome: Outcome | undefined): object {
  const { requests = 0, rowsRead, ranges, stores } = outcome?.recorder.evaluated ?? {};
  if (requests === 0) return {};
  return {
    'Evaluated Requests': requests,
    'Evaluated Rows': rowsRead,
    'Evaluated Ranges': ranges?.size,
    'Evaluated Stores': stores?.size,
  };
}

function linesOf(node: ExplainNode, options: ExplainOptions): string[] {
  const lines = [
    `${node.head}${numbersOf(node, options)}`,
    ...node.details.map((detail) => `  ${detail}`),
  ];
  for (const { title, node: inner } of node.plans) {
    if (title !== undefined) lines.push(`  ${title}`);
    const blanks = title === undefined ? '  ' : '    ';
    const [first = '', ...rest] = linesOf(inner, options);
    lines.push(`${blanks}->  ${first}`, ...rest.map((line) => `${blanks}    ${line}`));
  }
  return lines;
}

function numbersOf({ rows, record }: ExplainNode, { analyze, costs }: ExplainOptions): string {
  const estimate = costs && rows !== undefined ? `  (rows=${Math.round(rows)})` : '';
  if (!analyze) return estimate;
  const actual =
    record === undefined
      ? '(never executed)'
      : `(actual rows=${Math.round(record.rows / record.loops)} loops=${record.loops})`;
  return `${estimate} ${actual}`;
}

/** A join's node and its type, as PostgreSQL has them. */
function joinOf(head: string): Record<string, unknown> | undefined {
  if (!/(?:Loop|Join)$/.test(head)) return undefined;
  const [, outer] = / (Left|Right|Full|Semi|Anti) Join$/.exec(head) ?? [];
  const plain = outer === undefined ? head : head.slice(0, -` ${outer} Join`.length);
  const type = outer === undefined || plain.endsWith('Loop') ? plain : `${plain} Join`;
  return { 'Node Type': type, 'Join Type': outer ?? 'Inner' };
}

function jsonOf(node: ExplainNode, title: string | undefined, options: ExplainOptions): object {
  const { head, details, rows, record, plans } = node;
  const parts = /^(.*?)(?: using (\S+))?(?: on (\S+)(?: (\S+))?)?$/.exec(head);
  const [, type = head, index, relation, alias] = parts ?? [];
  const shown: Record<string, unknown> = joinOf(type) ?? { 'Node Type': type };
  if (title !== undefined) shown['Subplan Name'] = title;
  if (index !== undefined) shown['Index Name'] = index;
  if (relation !== undefined) shown['Relation Name'] = relation;
  if (relation !== undefined) shown.Alias = alias ?? relation;
  if (options.costs && rows !== undefined) shown['Plan Rows'] = Math.round(rows);
  if (options.analyze) {
    shown['Actual Rows'] = record === undefined ? 0 : record.rows / record.loops;
    shown['Actual Loops'] = record?.loops ?? 0;
  }
  for (const detail of details) {
    const at = detail.indexOf(': ');
    shown[at < 0 ? detail : detail.slice(0, at)] = at < 0 ? true : detail.slice(at + 2);
  }
  if (plans.length > 0) shown.Plans = plans.map((one) => jsonOf(one.node, one.title, options));
  return shown;
}
