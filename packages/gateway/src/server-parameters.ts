/**
 * Settings at the start of a session: which of the startup packet's parameters are settings of the session, and what
 * the client is told of (ParameterStatus). The session knows the values; a few facts are the gateway's own.
 */
import { SqlError, type SqlSession } from '@flotilla/sql';

/** Clients pick their catalog queries and features by this; psql and JDBC read the number at its start. */
export const defaultServerVersion = '15.8 (Flotilla 0.1.0)';

/** Startup parameters that are not settings, or that the session is made with. */
const notSettings = new Set([
  'user',
  'database',
  'options',
  'replication',
  'client_encoding',
  'application_name',
]);

/**
 * The settings that a startup packet asks for, those in `options` (`-c name=value`) first, as PostgreSQL does.
 * Throws SqlError 22023 or 42601 for an encoding or an option that we do not have.
 */
export function startupSettings(parameters: ReadonlyMap<string, string>): [string, string][] {
  const encoding = parameters.get('client_encoding');
  if (encoding !== undefined) checkEncoding(encoding);
  const settings = parseOptions(parameters.get('options') ?? '');
  for (const [name, value] of parameters) {
    if (!notSettings.has(name)) settings.push([name, value]);
  }
  return settings;
}

/** Runs `SET` for each setting. A refusal is the session's SqlError; the connection then ends. */
export async function applySettings(
  session: SqlSession,
  settings: readonly (readonly [string, string])[],
): Promise<void> {
  for (const [name, value] of settings) {
    if (!/^[A-Za-z_][A-Za-z0-9_.$]*$/.test(name)) {
      throw new SqlError('42704', `unrecognized configuration parameter "${name}"`);
    }
    for (const statement of session.parse(`SET ${name} = '${value.replaceAll("'", "''")}'`)) {
      const result = await session.execute(await session.prepare(statement, []), []);
      if (result.rows !== undefined) for await (const _ of result.rows);
    }
  }
}

/** What PostgreSQL 15 reports at the start of a session: all of its thirteen keys. */
export function tellServerParameters(
  tell: (name: string, value: string) => void,
  session: SqlSession,
  own: { readonly user: string; readonly applicationName: string; readonly serverVersion: string },
): void {
  const values: readonly (readonly [string, string])[] = [
    ['application_name', own.applicationName],
    ['client_encoding', 'UTF8'],
    ['DateStyle', 'ISO, MDY'],
    ['default_transaction_read_only', 'off'],
    ['in_hot_standby', 'off'],
    ['integer_datetimes', 'on'],
    ['IntervalStyle', 'postgres'],
    ['is_superuser', 'off'],
    ['server_encoding', 'UTF8'],
    ['server_version', own.serverVersion],
    ['session_authorization', own.user],
    ['standard_conforming_strings', 'on'],
    ['TimeZone', 'UTC'],
  ];
  for (const [name, fallback] of values) {
    tell(name, session.setting(name) ?? fallback);
  }
}

/**
 * Everything is UTF-8 here. SQL_ASCII means "do not convert", which comes to the same; psql asks for it in the C
 * locale. Clients spell the name in many ways, some with quotes.
 */
function checkEncoding(encoding: string): void {
  const name = encoding.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  if (name === 'utf8' || name === 'unicode' || name === 'sqlascii' || name === '') return;
  throw new SqlError('22023', `invalid value for parameter "client_encoding": "${encoding}"`, {
    hint: 'Only UTF8 is supported.',
  });
}

/** `-c name=value`, `-cname=value` and `--name=value`; a backslash keeps the character behind it as it is. */
function parseOptions(text: string): [string, string][] {
  const settings: [string, string][] = [];
  const words = splitWords(text);
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    let assignment: string | undefined;
    if (word === '-c') assignment = words[++index];
    else if (word.startsWith('-c') || word.startsWith('--')) assignment = word.slice(2);
    const equals = assignment?.indexOf('=') ?? -1;
    if (assignment === undefined || equals <= 0) {
      throw new SqlError('42601', `invalid command-line argument for server process: ${word}`);
    }
    const name = assignment.slice(0, equals);
    settings.push([
      word.startsWith('--') ? name.replaceAll('-', '_') : name,
      assignment.slice(equals + 1),
    ]);
  }
  return settings;
}

function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  for (let at = 0; at < text.length; at++) {
    let character = text.charAt(at);
    if (/\s/.test(character)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
      continue;
    }
    if (character === '\\' && at + 1 < text.length) character = text.charAt(++at);
    word += character;
    inWord = true;
  }
  if (inWord) words.push(word);
  return words;
}
