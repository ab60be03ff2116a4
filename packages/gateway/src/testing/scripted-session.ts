/**
 * A SqlSession that follows a tiny script language, so that the gateway can be tested without an SQL engine:
 * `select 1`, `select $1`, `values <rows> <width>`, `insert … [returning]`, `wait` (until aborted or released),
 * `fail <sqlstate>`, `boom`, `set <name> = '<value>'`, `copy …`, `notice <text>`, `broken` (a value that cannot be encoded).
 */
import { InvariantViolation } from '@flotilla/base';
import {
  type ColumnDescription,
  type Datum,
  type NamedStatements,
  type Oid,
  type ParsedStatement,
  type PreparedStatement,
  SessionStatements,
  SqlError,
  type SqlSession,
  type SqlSessionEvents,
  type StatementResult,
  type TransactionStatus,
} from '@flotilla/sql';

const int4 = 23;
const text = 25;

interface Script extends PreparedStatement {
  readonly text: string;
}

export function column(name: string, typeOid: Oid, typeLength: number = -1): ColumnDescription {
  return { name, typeOid, typeLength, typeModifier: -1, tableOid: 0, attributeNumber: 0 };
}

/** What all sessions of one test's gateway have in common: what they ran, and what they wait for. */
export class Stage {
  /** Statements begun, in order. */
  readonly begun: string[] = [];
  /** Statements whose rows were read to the end, or that have none. */
  readonly finished: string[] = [];
  /** Statements stopped by their signal. */
  readonly aborted: string[] = [];
  /** Results given up before their end. */
  readonly returned: string[] = [];
  /** Batches made by `values`. */
  batches = 0;
  private waiters: (() => void)[] = [];
  private watchers: (() => void)[] = [];

  /** Lets every `wait` go on. */
  release(): void {
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  /** Resolves when `condition` holds; looked at whenever something happens on the stage. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.watchers.push(resolve));
  }

  note(list: string[], what: string): void {
    list.push(what);
    for (const watcher of this.watchers.splice(0)) watcher();
  }

  blocked(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiters.push(resolve);
      signal?.addEventListener('abort', () => reject(new DOMException('stop', 'AbortError')), {
        once: true,
      });
    });
  }
}

export class ScriptedSession implements SqlSession {
  readonly user: string;
  private readonly stage: Stage;
  private readonly events: Partial<SqlSessionEvents>;
  private readonly settings = new Map<string, string>();

  constructor(stage: Stage, user: string, events: Partial<SqlSessionEvents> = {}) {
    this.stage = stage;
    this.user = user;
    this.events = events;
  }

  elementOf(): number {
    return 0;
  }

  /** Scripts name no portals. */
  usePortals(): void {}

  findCursor(): undefined {}

  parse(source: string): readonly ParsedStatement[] {
    if (source.includes('syntax!')) {
      throw new SqlError('42601', 'syntax error at or near "syntax"', {
        position: source.indexOf('syntax!') + 1,
      });
    }
    return source
      .split(';')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map((part) => ({ text: part, node: part }));
  }

  async prepare(
    statement: ParsedStatement,
    parameterTypes: readonly Oid[],
  ): Promise<PreparedStatement> {
    const script = statement.text;
    if (script.startsWith('copy')) throw new SqlError('0A000', 'COPY is not supported');
    let highest = parameterTypes.length;
    for (const [, number] of script.matchAll(/\$(\d+)/g))
      highest = Math.max(highest, Number(number));
    const types = Array.from({ length: highest }, (_, index) => parameterTypes[index] || text);
    return {
      text: script,
      parameterTypes: types,
      columns: columnsOf(script, types),
      endsFailure: false,
      readOnly: /^(?:select|values|show|broken)\b/i.test(script),
    } as Script;
  }

  async execute(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<StatementResult> {
    const { text: script, columns } = prepared as Script;
    const { stage } = this;
    stage.note(stage.begun, script);
    const [word, argument = ''] = script.split(/\s+/);
    try {
      await this.act(word ?? '', argument, script, options.signal);
    } catch (error) {
      if (options.signal?.aborted) stage.note(stage.aborted, script);
      throw error;
    }
    if (columns === undefined) {
      stage.note(stage.finished, script);
      return { columns, rows: undefined, commandTag: () => commandTag(script, 1) };
    }
    let count = 0;
    const { signal } = options;
    async function* rows(): AsyncGenerator<readonly (readonly Datum[])[]> {
      let ended = false;
      try {
        for (const batch of batchesOf(script, parameters)) {
          signal?.throwIfAborted();
          if (word === 'values') stage.batches++;
          count += batch.length;
          yield batch;
        }
        ended = true;
      } finally {
        if (signal?.aborted && !ended) stage.note(stage.aborted, script);
        else stage.note(ended ? stage.finished : stage.returned, script);
      }
    }
    return { columns, rows: rows(), commandTag: () => commandTag(script, count) };
  }

  encode(typeOid: Oid, format: 0 | 1, value: Datum): Uint8Array | null {
    if (value === null) return null;
    if (value === 'unencodable') throw new SqlError('22P05', 'no such character');
    if (format === 0) return Buffer.from(String(value));
    if (typeOid === 701) {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(Number(value));
      return bytes;
    }
    return Buffer.from(String(value));
  }

  decode(typeOid: Oid, format: 0 | 1, bytes: Uint8Array): Datum {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (typeOid !== int4) return buffer.toString('utf8');
    if (format === 1) {
      if (buffer.length !== 4) throw new SqlError('22P03', 'incorrect binary data format');
      return buffer.readInt32BE(0);
    }
    const value = Number(buffer.toString('latin1'));
    if (!Number.isInteger(value)) {
      throw new SqlError('22P02', 'invalid input syntax for type integer');
    }
    return value;
  }

  setting(name: string): string | undefined {
    return this.settings.get(name);
  }

  readonly statements: NamedStatements = new SessionStatements();
  readonly transactionStatus: TransactionStatus = 'idle';
  readonly transactionScope = undefined;
  readonly idleTimeoutMs = 0;

  failTransaction(): void {}

  beginImplicit(): void {}

  async endImplicit(): Promise<void> {}

  close(): void {}

  private async act(
    word: string,
    argument: string,
    script: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    switch (word) {
      case 'fail':
        throw new SqlError(argument, 'told to fail', {
          detail: 'the detail',
          hint: 'the hint',
          position: 3,
          schema: 'public',
          table: 't',
          column: 'c',
          constraint: 't_pkey',
        });
      case 'boom':
        throw new TypeError('secret detail of the inside');
      case 'invariant':
        throw new InvariantViolation('the test holds');
      case 'wait':
      case 'waitinsert':
        return this.stage.blocked(signal);
      case 'notice':
        this.events.onNotice?.({ severity: 'NOTICE', code: '00000', message: argument });
        return;
      case 'SET':
      case 'set': {
        const [, name = '', value = ''] = /^set\s+(\S+)\s*=\s*'(.*)'$/is.exec(script) ?? [];
        if (name === 'nonsense') {
          throw new SqlError('42704', `unrecognized configuration parameter "${name}"`);
        }
        this.settings.set(name, value);
        this.events.onParameterStatus?.(name, value);
        return;
      }
      default:
    }
  }
}

function columnsOf(script: string, types: readonly Oid[]): ColumnDescription[] | undefined {
  const [word, argument = ''] = script.split(/\s+/);
  switch (word?.toLowerCase()) {
    case 'select':
      if (argument.startsWith('$'))
        return types.map((type, index) => column(`c${index + 1}`, type));
      return [column('?column?', /^-?\d+$/.test(argument) ? int4 : text, 4)];
    case 'values':
      return [column('i', int4, 4), column('filler', text)];
    case 'insert':
      return script.includes('returning') ? [column('id', int4, 4)] : undefined;
    case 'broken':
      return [column('v', 1043 + 1)];
    default:
      return undefined;
  }
}

function* batchesOf(
  script: string,
  parameters: readonly Datum[],
): Generator<readonly (readonly Datum[])[]> {
  const [word, first = '', second = ''] = script.split(/\s+/);
  switch (word?.toLowerCase()) {
    case 'select':
      if (first.startsWith('$')) yield [[...parameters]];
      else yield [[/^-?\d+$/.test(first) ? Number(first) : first === 'null' ? null : first]];
      return;
    case 'values': {
      const total = Number(first);
      const filler = 'x'.repeat(Number(second || '1'));
      const batchRows = 100;
      for (let next = 1; next <= total; next += batchRows) {
        const rows = Math.min(batchRows, total - next + 1);
        yield Array.from({ length: rows }, (_, index) => [next + index, filler]);
      }
      return;
    }
    case 'insert':
      yield [[1], [2], [3]];
      return;
    case 'broken':
      yield [['fine'], ['unencodable']];
      return;
    default:
  }
}

function commandTag(script: string, rows: number): string {
  const word = (script.split(/\s+/)[0] ?? '').toUpperCase();
  if (word === 'SELECT' || word === 'VALUES' || word === 'BROKEN') return `SELECT ${rows}`;
  if (word === 'INSERT') return `INSERT 0 ${rows}`;
  return word;
}
