/** The handwritten statements, by theme: those that the unit suite has recorded answers for, and those in `statements/`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Those that need more than one session, roles of a whole server, or clocks. */
const apart = [
  'privileges',
  'materialized-rights',
  'roles',
  'locking',
  'settings',
  'catalog',
  'prepared',
  'transactions',
];

/** The statements of a file of recorded cases that take no parameters. */
function recorded(text) {
  return text
    .split(/\n\n+/)
    .flatMap((block) => {
      const lines = block.trim().split('\n');
      const end = lines.indexOf('----');
      const input = lines.slice(0, end < 0 ? lines.length : end);
      if (input.some((line) => line.startsWith('$ '))) return [];
      return input.filter((line) => !line.startsWith('# ')).join('\n');
    })
    .filter((sql) => sql !== '');
}

/** A statement ends with a semicolon at the end of a line; lines that begin with -- say what follows. */
function written(text) {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('--'))
    .join('\n')
    .split(/;\n/)
    .map((sql) => sql.trim())
    .filter((sql) => sql !== '');
}

/** @returns themes, each of which begins with an empty database */
export function handwritten() {
  const cases = join(import.meta.dirname, '../testdata/postgres');
  const statements = join(import.meta.dirname, 'statements');
  const themes = [];
  for (const file of readdirSync(cases).sort()) {
    const name = file.replace('.txt', '');
    if (apart.includes(name)) continue;
    themes.push({
      name: `recorded ${name}`,
      sql: recorded(readFileSync(join(cases, file), 'utf8')),
    });
  }
  for (const file of readdirSync(statements).sort())
    themes.push({
      name: file.replace('.sql', ''),
      sql: written(readFileSync(join(statements, file), 'utf8')),
    });
  return themes;
}
