/** COPY's options: what they may be, and what they are where nothing is said. */
import type { CopyStmt, Node } from 'libpg-query';
import { SqlError } from '../sql-error.ts';

export interface CopyOptions {
  readonly binary: boolean;
  readonly csv: boolean;
  readonly delimiter: string;
  readonly nullText: string;
  readonly header: 'none' | 'skip' | 'match';
  /** CSV only. */
  readonly quote: string;
  /** CSV only. */
  readonly escape: string;
  /** Names of columns; `all`: every one. */
  readonly forceQuote: ReadonlySet<string> | 'all';
  readonly forceNotNull: ReadonlySet<string>;
  readonly forceNull: ReadonlySet<string>;
}

/** Throws 42601, 22023, 0A000. */
export function readCopyOptions(statement: CopyStmt): CopyOptions {
  const given = new Map<string, Node | undefined>();
  for (const node of statement.options ?? []) {
    if (!('DefElem' in node)) throw refuse('option');
    const { defname = '', arg } = node.DefElem;
    if (given.has(defname)) throw new SqlError('42601', 'conflicting or redundant options');
    if (!known.has(defname)) throw new SqlError('42601', `option "${defname}" not recognized`);
    given.set(defname, arg);
  }
  // Asks for tuples that need no VACUUM: there are none that do. Its value is still to be a boolean.
  if (given.has('freeze')) isTrue('freeze', given.get('freeze'));
  const encoding = textOf(given.get('encoding'))?.toLowerCase().replace('-', '');
  if (encoding !== undefined && encoding !== 'utf8') throw refuse(`ENCODING ${encoding}`);
  const format = textOf(given.get('format')) ?? 'text';
  const binary = format === 'binary';
  if (binary) checkBinary(given);
  if (!binary && format !== 'text' && format !== 'csv')
    throw new SqlError('22023', `COPY format "${format}" not recognized`);
  const csv = format === 'csv';
  for (const name of csvOnly)
    if (!csv && given.has(name))
      throw new SqlError(
        '0A000',
        `COPY ${name.replace('force_', 'force ').replace('_', ' ')} available only in CSV mode`,
      );
  const quote = oneByte('quote', textOf(given.get('quote')) ?? '"');
  const options: CopyOptions = {
    binary,
    csv,
    delimiter: oneByte('delimiter', textOf(given.get('delimiter')) ?? (csv ? ',' : '\t')),
    nullText: textOf(given.get('null')) ?? (csv ? '' : '\\N'),
    header: headerOf(given),
    quote,
    escape: oneByte('escape', textOf(given.get('escape')) ?? quote),
    forceQuote: isStar(given.get('force_quote')) ? 'all' : namesOf(given.get('force_quote')),
    forceNotNull: namesOf(given.get('force_not_null')),
    forceNull: namesOf(given.get('force_null')),
  };
  checkDirection(statement, options, given);
  checkCharacters(options);
  return options;
}

const csvOnly = ['quote', 'escape', 'force_quote', 'force_not_null', 'force_null'];
const known: ReadonlySet<string> = new Set([
  ...['format', 'freeze', 'delimiter', 'null', 'header', 'encoding'],
  ...csvOnly,
]);

function checkBinary(given: ReadonlyMap<string, Node | undefined>): void {
  for (const name of ['delimiter', 'null'])
    if (given.has(name))
      throw new SqlError('42601', `cannot specify ${name.toUpperCase()} in BINARY mode`);
  if (headerOf(given) !== 'none')
    throw new SqlError('0A000', 'cannot specify HEADER in BINARY mode');
}

function checkDirection(
  { is_from }: CopyStmt,
  { header }: CopyOptions,
  given: ReadonlyMap<string, unknown>,
): void {
  const from = is_from === true;
  if (from && given.has('force_quote'))
    throw new SqlError('0A000', 'COPY force quote only available using COPY TO');
  for (const name of ['force_not_null', 'force_null'])
    if (!from && given.has(name))
      throw new SqlError(
        '0A000',
        `COPY ${name.replaceAll('_', ' ')} only available using COPY FROM`,
      );
  if (!from && header === 'match')
    throw new SqlError('0A000', 'cannot use "match" with HEADER in COPY TO');
}

function checkCharacters({ csv, delimiter, nullText, quote }: CopyOptions): void {
  if (/[\r\n]/.test(delimiter))
    throw new SqlError('22023', 'COPY delimiter cannot be newline or carriage return');
  if (/[\r\n]/.test(nullText))
    throw new SqlError('22023', 'COPY null representation cannot use newline or carriage return');
  if (!csv && /[\\.a-z0-9]/.test(delimiter))
    throw new SqlError('22023', `COPY delimiter cannot be "${delimiter}"`);
  if (csv && delimiter === quote)
    throw new SqlError('22023', 'COPY delimiter and quote must be different');
  if (nullText.includes(delimiter))
    throw new SqlError('22023', 'COPY delimiter must not appear in the NULL specification');
  if (csv && nullText.includes(quote))
    throw new SqlError('22023', 'CSV quote character must not appear in the NULL specification');
}

function headerOf(given: ReadonlyMap<string, Node | undefined>): CopyOptions['header'] {
  if (!given.has('header')) return 'none';
  const arg = given.get('header');
  if (textOf(arg)?.toLowerCase() === 'match') return 'match';
  return isTrue('header', arg) ? 'skip' : 'none';
}

function isTrue(name: string, arg: Node | undefined): boolean {
  const word = arg === undefined ? 'true' : textOf(arg)?.toLowerCase();
  if (word === 'true' || word === 'on' || word === '1') return true;
  if (word === 'false' || word === 'off' || word === '0') return false;
  throw new SqlError('42601', `${name} requires a Boolean value`);
}

function oneByte(name: string, value: string): string {
  if (value.length === 1 && value.charCodeAt(0) < 0x80) return value;
  throw new SqlError('0A000', `COPY ${name} must be a single one-byte character`);
}

function textOf(arg: Node | undefined): string | undefined {
  if (arg === undefined) return undefined;
  if ('String' in arg) return arg.String.sval ?? '';
  if ('Integer' in arg) return String(arg.Integer.ival ?? 0);
  if ('Boolean' in arg) return arg.Boolean.boolval === true ? 'true' : 'false';
  return undefined;
}

function isStar(arg: Node | undefined): boolean {
  return arg !== undefined && 'A_Star' in arg;
}

function namesOf(arg: Node | undefined): ReadonlySet<string> {
  if (arg === undefined || !('List' in arg)) return new Set();
  return new Set((arg.List.items ?? []).map((item) => textOf(item) ?? ''));
}

function refuse(what: string): SqlError {
  return new SqlError('0A000', `COPY … (${what}) is not supported yet`);
}
