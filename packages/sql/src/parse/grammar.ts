/**
 * PostgreSQL's own grammar in WebAssembly (`libpg-query`), behind one function. The module is one instance per process;
 * after a trap it is thrown away and made anew. Nothing else imports the library's values.
 */
import { createRequire } from 'node:module';
import type * as LibPgQuery from 'libpg-query';
import type { RawStmt } from 'libpg-query';
import { SqlError } from '../sql-error.ts';
import { SourceText } from './position.ts';

const require = createRequire(import.meta.url);
const modulePath = require.resolve('libpg-query');

let library: typeof LibPgQuery | undefined;
let loading: Promise<void> | undefined;

/** Makes the grammar ready. Idempotent; cheap after the first time. */
export function loadGrammar(): Promise<void> {
  loading ??= instantiate();
  return loading;
}

async function instantiate(): Promise<void> {
  const fresh = require(modulePath) as typeof LibPgQuery;
  await fresh.loadModule();
  library = fresh;
}

/** A trap may have left the module's memory in any state: start over from an empty one. */
function discardInstance(): void {
  library = undefined;
  delete require.cache[modulePath];
  loading = instantiate();
}

/** Throws SqlError 42601 with position, 42939, 0A000, 54001, 57P03 while the grammar restarts. */
export function parseWithGrammar(text: string): readonly RawStmt[] {
  if (library === undefined) throw new SqlError('57P03', 'the SQL parser is restarting; try again');
  try {
    return library.parseSync(text).stmts ?? [];
  } catch (error) {
    throw grammarError(error, text, library);
  }
}

function grammarError(error: unknown, text: string, from: typeof LibPgQuery): unknown {
  if (from.hasSqlDetails(error)) {
    const { message, cursorPosition } = error.sqlDetails ?? {
      message: error.message,
      cursorPosition: 0,
    };
    if (message.includes('memory exhausted') || message.includes('stack depth'))
      return tooComplex(error);
    if (/^[A-Z ]+ constraints cannot be marked DEFERRABLE$/.test(message))
      return new SqlError('0A000', message);
    const position = new SourceText(text).position(
      Buffer.byteLength([...text].slice(0, cursorPosition).join(''), 'utf8'),
    );
    const code = /^role name ".*" is reserved$/.test(message) ? '42939' : '42601';
    return new SqlError(code, message, position === undefined ? {} : { position });
  }
  if (error instanceof Error && error.name === 'RuntimeError') {
    discardInstance();
    return tooComplex(error);
  }
  if (error instanceof RangeError) return tooComplex(error);
  if (error instanceof Error && error.message.startsWith('Failed to parse query')) {
    discardInstance();
    return tooComplex(error);
  }
  return error;
}

function tooComplex(cause: unknown): SqlError {
  return new SqlError('54001', 'statement is too complex to parse', { cause });
}

export interface Token {
  readonly text: string;
  /** Byte offset behind it. */
  readonly end: number;
}

/** The words of a text that is known to parse. Throws SqlError 57P03 while the grammar restarts. */
export function scanTokens(text: string): readonly Token[] {
  if (library === undefined) throw new SqlError('57P03', 'the SQL parser is restarting; try again');
  return library.scanSync(text).tokens;
}
