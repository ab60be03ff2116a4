/**
 * DECLARE, FETCH, MOVE and CLOSE of one session. DECLARE begins its query as if it were executed, and every FETCH takes some
 * more of its rows. What a cursor WITH HOLD has is read when it is declared. Called by the session alone.
 */
import type { DeclareCursorStmt, FetchStmt, Node } from 'libpg-query';
import { emptyResult, listResult } from '../execute/result.ts';
import { MemoryAccount } from '../execute/run.ts';
import { statementError } from '../kv-errors.ts';
import { workMemoryBytes } from '../limits.ts';
import type { Statement } from '../parse/parser.ts';
import type { Deadlines } from '../session/deadlines.ts';
import { Preparation } from '../session/preparation.ts';
import type { SessionContext } from '../session/session-context.ts';
import type { StatementRunner } from '../session/statement-runner.ts';
import type {
  ColumnDescription,
  Datum,
  FindPortal,
  NamedPortal,
  Oid,
  PreparedStatement,
  SqlSession,
  StatementResult,
} from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { Cursor, type Step } from './cursor.ts';

/** PostgreSQL's CURSOR_OPT_… */
const option = { binary: 1, scroll: 2, noScroll: 4, insensitive: 8, asensitive: 16, hold: 32 };

/** What the grammar says for ALL. */
const allRows = 0x7fffffff;

type Command =
  | {
      readonly kind: 'declare';
      readonly name: string;
      readonly options: number;
      readonly query: Preparation;
    }
  | { readonly kind: 'fetch'; readonly name: string; readonly step: Step; readonly move: boolean }
  /** Undefined: all. */
  | { readonly kind: 'close'; readonly name: string | undefined };

/** What `prepare` hands out for these statements. */
export class CursorCommand implements PreparedStatement {
  readonly parameterTypes: readonly Oid[];
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly readOnly = false;
  readonly endsFailure = false;
  readonly text: string;
  readonly command: Command;

  constructor(text: string, command: Command, columns: readonly ColumnDescription[] | undefined) {
    this.text = text;
    this.command = command;
    this.columns = columns;
    this.parameterTypes = command.kind === 'declare' ? command.query.parameterTypes : [];
  }
}

export function isCursorStatement({ node: { tree } }: Statement): boolean {
  return 'DeclareCursorStmt' in tree || 'FetchStmt' in tree || 'ClosePortalStmt' in tree;
}

export class CursorStatements {
  /** Portals of the protocol, which are cursors by another name. */
  findPortal: FindPortal = () => undefined;
  private readonly session: SqlSession;
  private readonly context: SessionContext;
  private readonly runner: StatementRunner;
  private readonly deadlines: Deadlines;

  constructor(
    session: SqlSession,
    parts: {
      readonly context: SessionContext;
      readonly runner: StatementRunner;
      readonly deadlines: Deadlines;
    },
  ) {
    this.session = session;
    this.context = parts.context;
    this.runner = parts.runner;
    this.deadlines = parts.deadlines;
  }

  /** Throws 42P11, 0A000, and what preparing the query throws. */
  async prepare(statement: Statement, declared: readonly Oid[]): Promise<PreparedStatement> {
    const { tree } = statement.node;
    const { text } = statement;
    if ('DeclareCursorStmt' in tree)
      return this.prepareDeclare(statement, tree.DeclareCursorStmt, declared);
    if ('FetchStmt' in tree) {
      const { portalname: name = '', ismove: move = false } = tree.FetchStmt;
      const cursor = this.context.cursors.find(name)?.cursor ?? this.findPortal(name);
      const columns = move ? undefined : cursor?.columns;
      return new CursorCommand(
        text,
        { kind: 'fetch', name, move, step: stepOf(tree.FetchStmt) },
        columns,
      );
    }
    const name = 'ClosePortalStmt' in tree ? tree.ClosePortalStmt.portalname : undefined;
    return new CursorCommand(text, { kind: 'close', name }, undefined);
  }

  private async prepareDeclare(
    statement: Statement,
    { portalname: name = '', options = 0, query: tree }: DeclareCursorStmt,
    declared: readonly Oid[],
  ): Promise<PreparedStatement> {
    requireEither(options, option.scroll, option.noScroll, 'SCROLL', 'NO SCROLL');
    requireEither(options, option.asensitive, option.insensitive, 'INSENSITIVE', 'ASENSITIVE');
    if (tree === undefined || writesInWith(tree))
      throw new SqlError(
        '0A000',
        'DECLARE CURSOR must not contain data-modifying statements in WITH',
      );
    const query = await this.session.prepare(
      { text: statement.text, node: { ...statement.node, tree } },
      declared,
    );
    if (!(query instanceof Preparation) || query.prepared.plan.kind !== 'select')
      throw new SqlError('0A000', 'a cursor of this statement is not supported');
    checkLocks(query.prepared.plan.locks, options);
    return new CursorCommand(statement.text, { kind: 'declare', name, options, query }, undefined);
  }

  /** Throws what the session's `execute` throws. */
  async execute(
    { command, text }: CursorCommand,
    parameters: readonly Datum[],
    outer: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const { signal, end } = this.deadlines.begin(outer, text);
    try {
      this.context.transaction.requireNotFailed();
      switch (command.kind) {
        case 'declare':
          await this.declare(text, command, parameters, signal);
          return emptyResult('DECLARE CURSOR');
        case 'fetch':
          return await this.fetch(command, signal);
        case 'close':
          if (command.name === undefined) {
            await this.context.cursors.closeAll();
            return emptyResult('CLOSE CURSOR ALL');
          }
          await this.close(command.name);
          return emptyResult('CLOSE CURSOR');
      }
    } catch (error) {
      this.context.transaction.fail(error);
      throw statementError(error, signal);
    } finally {
      end();
    }
  }

  /** Throws 25P01, 34000, 42P03, 53400, and what the query throws. */
  private async declare(
    text: string,
    { name, options, query }: Extract<Command, { kind: 'declare' }>,
    parameters: readonly Datum[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { cursors, transaction } = this.context;
    if (name === '') throw new SqlError('34000', 'invalid cursor name: must not be empty');
    const holds = (options & option.hold) !== 0;
    if (!holds) transaction.requireBlock('DECLARE CURSOR');
    cursors.checkFree(name);
    const stop = new AbortController();
    await following(signal, stop, async () => {
      const result = await this.runner.run(query, parameters, {
        signal: stop.signal,
        onEnd: () => undefined,
        onError: (error) => error,
      });
      const scrolls = (options & option.scroll) !== 0;
      const { columns = [], rows = noRows } = result;
      const cursor = new Cursor({ columns, rows, scrolls });
      if (holds) await cursor.readAhead();
      const named = {
        ...{ name, statement: text, holds, scrolls, cursor, stop },
        binary: (options & option.binary) !== 0,
        createdAt: this.context.clockTime(),
      };
      cursors.add(named, transaction.scope);
    });
  }

  private async fetch(
    { name, step, move }: Extract<Command, { kind: 'fetch' }>,
    signal: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const portal = this.portal(name);
    if (portal !== undefined) {
      const rows: Row[] = [];
      const passed = await pass(portal, step, move ? undefined : rows);
      return move ? emptyResult(`MOVE ${passed}`) : listResult(portal.columns ?? [], rows, 'FETCH');
    }
    const { cursor, stop, binary } = this.context.cursors.get(name);
    const rows = await following(signal, stop, () => cursor.fetch(step));
    if (move) return emptyResult(`MOVE ${rows.length}`);
    const result = listResult(cursor.columns, rows, 'FETCH');
    return binary ? { ...result, binary } : result;
  }

  /** A cursor as the caller's messages use it: forwards. */
  find(name: string): NamedPortal | undefined {
    const found = this.context.cursors.find(name);
    if (found === undefined) return undefined;
    const { cursor, binary } = found;
    return {
      columns: cursor.columns,
      take: (count) => cursor.fetch({ kind: 'forward', count }),
      close: () => this.context.cursors.close(name),
      binary,
    };
  }

  private async close(name: string): Promise<void> {
    const portal = this.portal(name);
    if (portal === undefined) await this.context.cursors.close(name);
    else await portal.close();
  }

  private portal(name: string): NamedPortal | undefined {
    return this.context.cursors.find(name) === undefined ? this.findPortal(name) : undefined;
  }
}

const noRows = (async function* () {})();

type Row = readonly Datum[];

const portalRowsAtOnce = 256;

/**
 * Portals only go forward.
 * @param kept takes the rows that are passed
 * @returns how many were. Throws 55000, 53200, and what the portal's statement throws.
 */
async function pass(portal: NamedPortal, { kind, count }: Step, kept?: Row[]): Promise<number> {
  if (portal.columns === undefined)
    throw new SqlError('55000', 'portal of a statement without rows cannot be fetched from');
  if (kind !== 'forward' || (count !== 'all' && count <= 0))
    throw new SqlError('55000', 'cursor can only scan forward', {
      hint: 'Declare it with SCROLL option to enable backward scan.',
    });
  const memory = new MemoryAccount(workMemoryBytes);
  let left = count === 'all' ? Number.POSITIVE_INFINITY : count;
  for (let passed = 0; ; ) {
    const wanted = Math.min(left, portalRowsAtOnce);
    const rows = await portal.take(wanted);
    passed += rows.length;
    left -= rows.length;
    if (kept !== undefined) {
      memory.addRows(rows);
      kept.push(...rows);
    }
    if (rows.length < wanted || left === 0) return passed;
  }
}

/** Whoever stops the statement stops the query of its cursor. */
async function following<Result>(
  signal: AbortSignal | undefined,
  stop: AbortController,
  work: () => Promise<Result>,
): Promise<Result> {
  const abort = (): void => stop.abort(signal?.reason);
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort);
  try {
    return await work();
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function stepOf({ direction = 'FETCH_FORWARD', howMany = 0n }: FetchStmt): Step {
  const count = Number(howMany); // the grammar's JSON has a number
  switch (direction) {
    case 'FETCH_ABSOLUTE':
      return { kind: 'absolute', count };
    case 'FETCH_RELATIVE':
      return { kind: 'relative', count };
    default:
      return {
        kind: direction === 'FETCH_BACKWARD' ? 'backward' : 'forward',
        count: count === allRows ? 'all' : count,
      };
  }
}

/** Throws 42P11. */
function requireEither(
  options: number,
  one: number,
  other: number,
  ...names: readonly [string, string]
): void {
  if ((options & one) !== 0 && (options & other) !== 0)
    throw new SqlError('42P11', `cannot specify both ${names[0]} and ${names[1]}`);
}

/** Throws 0A000, 42P11: what locks rows is read once, in order, in its transaction. */
function checkLocks(locks: string | undefined, options: number): void {
  if (locks === undefined) return;
  if ((options & option.hold) !== 0)
    throw new SqlError('0A000', `DECLARE CURSOR WITH HOLD ... ${locks} is not supported`, {
      detail: 'Holdable cursors must be READ ONLY.',
    });
  if ((options & option.scroll) !== 0)
    throw new SqlError('0A000', `DECLARE SCROLL CURSOR ... ${locks} is not supported`, {
      detail: 'Scrollable cursors must be READ ONLY.',
    });
  if ((options & option.insensitive) !== 0)
    throw new SqlError('42P11', `DECLARE INSENSITIVE CURSOR ... ${locks} is not valid`, {
      detail: 'Insensitive cursors must be READ ONLY.',
    });
}

function writesInWith(tree: Node): boolean {
  if (!('SelectStmt' in tree)) return false;
  return (tree.SelectStmt.withClause?.ctes ?? []).some(
    (cte) =>
      'CommonTableExpr' in cte &&
      cte.CommonTableExpr.ctequery !== undefined &&
      !('SelectStmt' in cte.CommonTableExpr.ctequery),
  );
}
