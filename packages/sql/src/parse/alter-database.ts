/**
 * `ALTER DATABASE d SET (replicas = 5)` and `ALTER DATABASE d RESET (replicas)`: what tables have, and databases do not have in
 * PostgreSQL's grammar. Looked for only where the grammar has refused a text; recognised by its tokens, read as if it were
 * of a table, and turned into an ALTER DATABASE whose options are marked with a namespace of their own.
 */
import type { AlterDatabaseStmt, Node, RawStmt } from 'libpg-query';
import { SqlError } from '../sql-error.ts';
import { parseWithGrammar, scanTokens } from './grammar.ts';
import type { SourceText } from './position.ts';

/** Namespace of options that stand in brackets. */
export const bracketedOption = 'flotilla';

/** @returns undefined: there is no such statement in the text. Throws SqlError 42601, 22023. */
export function parseAlterDatabase(source: SourceText): readonly RawStmt[] | undefined {
  if (!/\bdatabase\b[^;]*\b(set|reset)\s*\(/i.test(source.text)) return undefined;
  const tokens = scanTokens(source.text).filter(({ text }) => !/^(--|\/\*)/.test(text));
  /** Where the words DATABASE end. */
  const ends: number[] = [];
  tokens.forEach(({ text, end }, i) => {
    const [verb, , action, bracket] = [-1, 1, 2, 3].map((by) => tokens[i + by]?.text.toUpperCase());
    if (text.toUpperCase() !== 'DATABASE' || verb !== 'ALTER' || bracket !== '(') return;
    if (action === 'SET' || action === 'RESET') ends.push(end);
  });
  if (ends.length === 0) return undefined;
  let text = '';
  let from = 0;
  for (const end of ends) {
    text += `${source.slice(from, end - 'DATABASE'.length)}TABLE   `;
    from = end;
  }
  text += source.slice(from, source.byteLength());
  return parseWithGrammar(text).map((raw) => {
    const { stmt, stmt_location: start = 0, stmt_len: length = 0 } = raw;
    const until = length === 0 ? source.byteLength() : start + length;
    const isOurs = ends.some((end) => start < end && end <= until);
    return isOurs && stmt !== undefined ? { ...raw, stmt: ofDatabase(stmt) } : raw;
  });
}

function ofDatabase(tree: Node): Node {
  const { relation, cmds = [] } = 'AlterTableStmt' in tree ? tree.AlterTableStmt : {};
  const [command, second] = cmds;
  if (command === undefined || !('AlterTableCmd' in command) || second !== undefined)
    throw new SqlError('42601', 'ALTER DATABASE … SET (…) has one list of parameters');
  const { def, subtype } = command.AlterTableCmd;
  const dbname = relation?.relname ?? '';
  if (relation?.schemaname !== undefined)
    throw new SqlError('42601', 'the name of a database has one part');
  const items = def !== undefined && 'List' in def ? (def.List.items ?? []) : [];
  const options = items.map((item): Node => {
    if (!('DefElem' in item)) return item;
    const { defname = '', defnamespace, arg } = item.DefElem;
    if (defnamespace !== undefined)
      throw new SqlError('22023', `unrecognized parameter namespace "${defnamespace}"`);
    if (arg === undefined && subtype === 'AT_SetRelOptions')
      throw new SqlError('22023', `parameter "${defname}" needs a value`);
    return { DefElem: { ...item.DefElem, defnamespace: bracketedOption } };
  });
  const statement: AlterDatabaseStmt = { dbname, options };
  return { AlterDatabaseStmt: statement };
}
