/**
 * The extended query protocol: Parse, Bind, Describe, Execute, Close on named and unnamed statements and portals.
 * Every handler reads its whole message before its first `await`: the bytes do not outlive it. Errors are thrown; the
 * caller reports them and skips to Sync.
 */
import {
  type Datum,
  type NamedPortal,
  type NamedStatement,
  type Oid,
  SqlError,
  type SqlSession,
  type StatementResult,
} from '@flotilla/sql';
import type { GatewayLimits } from '../limits.ts';
import {
  writeBindComplete,
  writeCloseComplete,
  writeEmptyQueryResponse,
  writeNoData,
  writeParameterDescription,
  writeParseComplete,
  writePortalSuspended,
  writeRowDescription,
} from '../messages/backend-messages.ts';
import { type Decode, readBindValues } from '../messages/bind-message.ts';
import { invalid, type MessageReader } from '../messages/message-reader.ts';
import { sendCopy } from './copy-output.ts';
import {
  type Portal,
  type PortalState,
  Portals,
  PreparedStatements,
} from './prepared-statements.ts';
import { completeStatement, RowCursor, type RowTarget, type Sent } from './row-cursor.ts';
import { encoderOf } from './simple-query.ts';
import { cursorFormats, sendCursor } from './sql-cursor.ts';

type Suspended = Extract<PortalState, { kind: 'suspended' }>;

const statementKind = 0x53; // 'S'
const portalKind = 0x50; // 'P'

export class ExtendedQuery {
  private readonly session: SqlSession;
  private readonly target: RowTarget;
  private readonly statements: PreparedStatements;
  private readonly portals: Portals;
  private readonly decode: Decode;
  private readonly encode: SqlSession['encode'];

  constructor(session: SqlSession, target: RowTarget, limits: GatewayLimits) {
    this.session = session;
    this.target = target;
    this.statements = new PreparedStatements(session.statements, limits);
    this.portals = new Portals(limits);
    this.decode = (typeOid, format, bytes) => session.decode(typeOid, format, bytes);
    this.encode = encoderOf(session);
    session.usePortals((name) => this.namedPortal(name));
  }

  /** What is a cursor and no portal. */
  private cursor(name: string): NamedPortal | undefined {
    if (name === '' || this.portals.find(name) !== undefined) return undefined;
    return this.session.findCursor(name);
  }

  private runCursor(cursor: NamedPortal, rowsMax: number): Promise<void> {
    if (this.session.transactionStatus === 'failed') throw failedBlock();
    return sendCursor(this.target, cursor, { rowsMax, encode: this.encode });
  }

  /** What FETCH, MOVE and CLOSE see of a portal. */
  private namedPortal(name: string): NamedPortal | undefined {
    const portal = this.portals.find(name);
    if (name === '' || portal === undefined) return undefined;
    return {
      columns: portal.statement.prepared?.columns,
      take: (count) => this.take(portal, count),
      close: async () => this.portals.destroy(name),
    };
  }

  private async take(portal: Portal, count: number): Promise<readonly (readonly Datum[])[]> {
    const { state } = portal;
    if (state.kind === 'done') return [];
    const begun = state.kind === 'suspended' ? state : await this.begin(portal);
    if (begun === undefined) return [];
    portal.state = { kind: 'done', columns: begun.result.columns }; // whatever may be thrown
    const { rows, ended } = await begun.cursor.take(count);
    if (!ended) portal.state = begun;
    return rows;
  }

  parse(reader: MessageReader): Promise<void> | undefined {
    const name = reader.cString();
    const text = reader.cString();
    const count = reader.uint16();
    if (reader.remaining !== count * 4) throw invalid('wrong number of parameter types');
    const types: Oid[] = [];
    for (let index = 0; index < count; index++) types.push(reader.uint32());
    reader.end();
    if (name === '') this.statements.delete('');
    this.statements.checkFree(name);
    const parsed = this.session.parse(text);
    if (parsed.length > 1) {
      throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement');
    }
    const statement = parsed[0];
    if (statement === undefined) {
      this.addStatement(name, undefined, text);
      return undefined;
    }
    return this.session.prepare(statement, types).then((prepared) => {
      this.addStatement(name, prepared, text);
    });
  }

  bind(reader: MessageReader): Promise<void> | undefined {
    const retainedBytes = reader.remaining;
    const portalName = reader.cString();
    const statementName = reader.cString();
    const statement = this.statements.get(statementName);
    this.requireUsable(statement);
    const { parameters, resultFormats } = readBindValues(
      reader,
      statementName,
      statement.prepared?.parameterTypes ?? [],
      statement.prepared?.columns?.length ?? 0,
      this.decode,
    );
    this.portals.checkFree(portalName);
    const replaced = portalName === '' ? this.portals.destroy('') : undefined;
    const portal: Portal = {
      name: portalName,
      statement,
      parameters,
      resultFormats,
      retainedBytes,
      scope: this.session.transactionScope,
      state: { kind: 'bound' },
    };
    if (replaced !== undefined) return replaced.then(() => this.addPortal(portal));
    this.addPortal(portal);
    return undefined;
  }

  describe(reader: MessageReader): void {
    const kind = reader.byte();
    const name = reader.cString();
    reader.end();
    const { output } = this.target.link;
    if (kind === statementKind) {
      const statement = this.statements.get(name);
      const { prepared } = statement;
      if (prepared?.columns !== undefined) this.requireUsable(statement);
      writeParameterDescription(output, prepared?.parameterTypes ?? []);
      if (prepared?.columns === undefined) writeNoData(output);
      else writeRowDescription(output, prepared.columns, []);
    } else if (kind === portalKind) {
      const cursor = this.cursor(name);
      if (cursor?.columns !== undefined) {
        writeRowDescription(output, cursor.columns, cursorFormats(cursor));
        return;
      }
      const portal = this.portals.get(name);
      if (portal.statement.prepared?.columns !== undefined) this.requireUsable(portal.statement);
      const columns = portal.statement.prepared?.columns;
      if (columns === undefined) writeNoData(output);
      else writeRowDescription(output, columns, portal.resultFormats);
    } else {
      throw new SqlError('08P01', `invalid DESCRIBE message subtype ${kind}`);
    }
  }

  /** @param syncFollows the next message is a Sync, and it is there already */
  execute(reader: MessageReader, syncFollows: boolean): Promise<void> | undefined {
    const name = reader.cString();
    const rowsMax = Math.max(0, reader.int32()); // PostgreSQL takes a negative number for "all"
    reader.end();
    const cursor = this.cursor(name);
    if (cursor !== undefined) return this.runCursor(cursor, rowsMax);
    const portal = this.portals.get(name);
    if (portal.statement.prepared === undefined) {
      writeEmptyQueryResponse(this.target.link.output);
      return undefined;
    }
    this.requireUsable(portal.statement);
    // A statement that is alone before Sync is a transaction by itself, which is cheaper.
    if (!syncFollows) this.session.beginImplicit('pipeline');
    return this.run(portal, rowsMax);
  }

  /** Closing what does not exist is not an error. */
  close(reader: MessageReader): Promise<void> | undefined {
    const kind = reader.byte();
    const name = reader.cString();
    reader.end();
    const { output } = this.target.link;
    if (kind === statementKind) {
      this.statements.delete(name);
    } else if (kind === portalKind) {
      const finished = this.cursor(name)?.close() ?? this.portals.destroy(name);
      if (finished !== undefined) return finished.then(() => writeCloseComplete(output));
    } else {
      throw new SqlError('08P01', `invalid CLOSE message subtype ${kind}`);
    }
    writeCloseComplete(output);
    return undefined;
  }

  /**
   * Sync: ends an implicit transaction. Portals do not outlive their transaction.
   * @returns undefined if there was nothing to wait for
   */
  sync(): Promise<void> | undefined {
    const { session, portals } = this;
    if (portals.size === 0 && session.transactionStatus === 'idle') return undefined;
    const ending = session.endImplicit({ commit: true });
    return ending === undefined ? this.endPortals() : this.endPipeline(ending);
  }

  /** A simple Query does away with the unnamed statement and the unnamed portal. */
  beforeSimpleQuery(): Promise<void> | undefined {
    this.statements.delete('');
    if (this.session.transactionStatus !== 'idle') return this.portals.destroy('');
    return this.portals.size === 0 ? undefined : this.portals.destroyAll();
  }

  private async endPipeline(ending: Promise<void>): Promise<void> {
    try {
      await ending;
    } finally {
      await this.endPortals();
    }
  }

  /** Those that have outlived their transaction. */
  private endPortals(): Promise<void> | undefined {
    const { session, portals } = this;
    if (session.transactionStatus === 'idle') return portals.destroyAll();
    portals.sweep();
    return undefined;
  }

  /** Throws 25P02: in a failed block only its end may be asked for. */
  private requireUsable({ prepared }: NamedStatement): void {
    if (this.session.transactionStatus === 'failed' && prepared?.endsFailure !== true)
      throw failedBlock();
  }

  private addStatement(name: string, prepared: NamedStatement['prepared'], text: string): void {
    this.statements.add(name, {
      prepared,
      retainedBytes: text.length,
      text,
    });
    writeParseComplete(this.target.link.output);
  }

  private addPortal(portal: Portal): void {
    this.portals.add(portal);
    writeBindComplete(this.target.link.output);
  }

  private run(portal: Portal, rowsMax: number): Promise<void> | undefined {
    const { state } = portal;
    switch (state.kind) {
      case 'bound':
        return this.runFirst(portal, rowsMax);
      case 'suspended':
        return this.sendRows(portal, state, rowsMax);
      case 'done':
        if (state.columns === undefined || portal.statement.prepared?.readOnly !== true) {
          throw new SqlError('55000', `portal "${portal.name}" cannot be run`);
        }
        completeStatement(this.target, 'SELECT 0');
        return undefined;
    }
  }

  /** The hot path: where all rows are there when the statement has run, there is nothing else to wait for. */
  private async runFirst(portal: Portal, rowsMax: number): Promise<void> {
    const { prepared } = portal.statement;
    if (prepared === undefined) return;
    if (prepared.copiesIn === true) this.target.copyInput.expected = true;
    const result = await this.target.runner.execute(prepared, portal.parameters);
    const copying = this.copy(portal, result);
    if (copying !== undefined) await copying;
    const begun = this.opened(portal, result);
    const sending = begun && this.sendRows(portal, begun, rowsMax, true);
    if (sending !== undefined) await sending;
  }

  /** @returns undefined for a statement without rows: it has run, and its command tag is in the output */
  private async begin(portal: Portal): Promise<Suspended | undefined> {
    const { prepared } = portal.statement;
    if (prepared === undefined) return undefined;
    const result = await this.target.runner.execute(prepared, portal.parameters);
    await this.copy(portal, result);
    return this.opened(portal, result);
  }

  /** What the result copies, if it does. */
  private copy(
    portal: Portal,
    { columns, copyOut, copyIn }: StatementResult,
  ): Promise<void> | undefined {
    portal.state = { kind: 'done', columns };
    if (copyOut !== undefined) return sendCopy(this.target, copyOut);
    return copyIn && this.target.copyInput.run(copyIn);
  }

  /** As `begin`, of a result that has been copied if it copies. */
  private opened(portal: Portal, result: StatementResult): Suspended | undefined {
    const { columns, rows } = result;
    if (columns === undefined || rows === undefined) {
      completeStatement(this.target, result.commandTag());
      return undefined;
    }
    const shape = { columns, formats: portal.resultFormats, encode: this.encode };
    return { kind: 'suspended', result, cursor: new RowCursor(result.allRows ?? rows), shape };
  }

  /** @param first no Execute of the portal came before this one */
  private sendRows(
    portal: Portal,
    state: Suspended,
    rowsMax: number,
    first = false,
  ): Promise<void> | undefined {
    portal.state = { kind: 'done', columns: state.result.columns }; // whatever may be thrown
    const sent = state.cursor.send(this.target, state.shape, rowsMax);
    if (sent instanceof Promise)
      return sent.then((all) => this.rowsSent(portal, state, all, first));
    this.rowsSent(portal, state, sent, first);
    return undefined;
  }

  private rowsSent(portal: Portal, state: Suspended, { sent, ended }: Sent, first: boolean): void {
    const { output } = this.target.link;
    if (!ended) {
      portal.state = state;
      writePortalSuspended(output);
      return;
    }
    const tag = state.result.commandTag();
    // Like PostgreSQL, a query's tag counts the rows of this Execute, not those of earlier ones.
    completeStatement(this.target, !first && tag.startsWith('SELECT ') ? `SELECT ${sent}` : tag);
  }
}

function failedBlock(): SqlError {
  return new SqlError(
    '25P02',
    'current transaction is aborted, commands ignored until end of transaction block',
  );
}
