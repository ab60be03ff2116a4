/** COPY of one session: TO STDOUT is a query whose rows leave as lines, FROM STDIN is INSERTs of many rows in one transaction. */
import type { CopyStmt, Node } from 'libpg-query';
import { binaryEnd, binaryHead, binaryRow } from '../copy/binary-copy.ts';
import { CopyCommand, checkCopy, copyInsert, copyQuery } from '../copy/copy-command.ts';
import { type CopyTarget, copyIn, copyRowsIn } from '../copy/copy-in.ts';
import { CopyWriter } from '../copy/copy-writer.ts';
import { emptyResult } from '../execute/result.ts';
import { statementError } from '../kv-errors.ts';
import type { Statement } from '../parse/parser.ts';
import { SourceText } from '../parse/position.ts';
import type {
  CopyIn,
  CopySource,
  Datum,
  Oid,
  PreparedStatement,
  SqlSession,
  StatementResult,
} from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { Deadlines } from './deadlines.ts';
import { Preparation } from './preparation.ts';
import type { SessionContext } from './session-context.ts';
import type { StatementRunner } from './statement-runner.ts';

/** Of statements that nobody wrote. */
const noSource = new SourceText('');

export class CopyStatements {
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

  /** Throws what preparing a query of the copied columns, or an INSERT into them, throws. */
  async prepare(statement: Statement, copy: CopyStmt): Promise<PreparedStatement> {
    const options = checkCopy(copy);
    await this.context.shared.catalog.loadFirst();
    const prepareTree = (tree: Node): Promise<PreparedStatement> =>
      this.session.prepare({ text: statement.text, node: { ...statement.node, tree } }, []);
    const query = await prepareTree(copyQuery(copy, this.context.catalogAccess().names));
    if (query.columns === undefined)
      throw new SqlError('0A000', 'COPY query must have a RETURNING clause');
    return new CopyCommand(copy, options, query);
  }

  async copyTo(
    { query, options, fields }: CopyCommand,
    signal: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const result = await this.session.execute(query, [], signal === undefined ? {} : { signal });
    const names = fields.map(({ name }) => name);
    const writer = new CopyWriter(options, names);
    const text = (row: readonly Datum[]): (string | null)[] =>
      fields.map(({ typeOid }, index) => {
        const bytes = this.session.encode(typeOid, 0, row[index] ?? null);
        return bytes === null ? null : Buffer.from(bytes).toString('utf8');
      });
    let count = 0;
    const binary = (row: readonly Datum[]): Uint8Array =>
      binaryRow(
        fields.map(({ typeOid }, index) => this.session.encode(typeOid, 1, row[index] ?? null)),
      );
    const lines = async function* (): AsyncGenerator<
      readonly (string | Uint8Array)[],
      void,
      undefined
    > {
      // The head goes out with the first row, or with the end: there are clients that take a message for a row.
      let head: Uint8Array | undefined = options.binary ? binaryHead : undefined;
      const header = options.binary ? undefined : writer.header();
      if (header !== undefined) yield [header];
      for await (const rows of result.rows ?? []) {
        count += rows.length;
        const written = rows.map((row) => (options.binary ? binary(row) : writer.line(text(row))));
        const [first] = written;
        if (head !== undefined && first instanceof Uint8Array) {
          written[0] = Buffer.concat([head, first]);
          head = undefined;
        }
        yield written;
      }
      if (options.binary) yield [head === undefined ? binaryEnd : Buffer.concat([head, binaryEnd])];
    };
    const copyOut = { columnCount: names.length, binary: options.binary, lines: lines() };
    return { ...emptyResult(''), commandTag: () => `COPY ${count}`, copyOut };
  }

  /** All batches lie in one transaction, the open one or one that is made for them. */
  async copyFrom(command: CopyCommand, outer: AbortSignal | undefined): Promise<StatementResult> {
    const { statement: copy, options, fields } = command;
    const names = fields.map(({ name }) => name);
    const types = fields.map(({ typeOid }) => typeOid);
    const table = copy.relation?.relname ?? '';
    const inserts = new Map<number, PreparedStatement>();
    const prepareInsert = async (rows: number): Promise<PreparedStatement> => {
      let insert = inserts.get(rows);
      if (insert === undefined) {
        const tree = copyInsert(copy, names, rows);
        const declared = Array.from({ length: rows }, () => types).flat();
        insert = await this.session.prepare(
          { text: '', node: { tree, source: noSource } },
          declared,
        );
        inserts.set(rows, insert);
      }
      return insert;
    };
    const own = this.session.transactionStatus === 'idle';
    let count = 0;
    const run = async (
      caller: AbortSignal | undefined,
      work: (target: CopyTarget, signal: AbortSignal | undefined) => Promise<number>,
    ): Promise<void> => {
      const { signal, end } = this.deadlines.begin(caller, `COPY ${table} FROM STDIN`);
      const within = signal === undefined ? {} : { signal };
      if (own) this.session.beginImplicit('query');
      try {
        const target = {
          table,
          columns: fields,
          decode: (typeOid: Oid, text: string): Datum =>
            this.session.decode(typeOid, 0, Buffer.from(text, 'utf8')),
          receive: (typeOid: Oid, bytes: Uint8Array): Datum =>
            this.session.decode(typeOid, 1, bytes),
          insert: async (values: readonly Datum[], rows: number): Promise<void> => {
            await this.session.execute(await prepareInsert(rows), values, within);
          },
        };
        count = await work(target, signal);
        if (own) await this.session.endImplicit({ commit: true });
      } catch (error) {
        this.context.transaction.fail(error);
        throw statementError(error, signal);
      } finally {
        end();
      }
    };
    const load = (from: CopySource): Promise<void> =>
      run(outer, (target, signal) => copyIn(from, options, target, signal));
    const loadRows: CopyIn['loadRows'] = (from, { signal = outer } = {}) =>
      run(signal, (target) => copyRowsIn(from, target));
    // Whatever is wrong with the table is said before the client sends anything.
    const first = await prepareInsert(1);
    if (first instanceof Preparation) this.runner.checkReadOnly(first.prepared.plan);
    const columnCount = names.length;
    return {
      ...emptyResult(''),
      commandTag: () => `COPY ${count}`,
      copyIn: { columnCount, binary: options.binary, columns: fields, load, loadRows },
    };
  }
}
