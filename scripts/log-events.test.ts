/**
 * Log events have names that a program can look for: lower-case words joined by `_`, a literal, after the facts. What a
 * line says to a person is in its facts. This test reads every call of a logger in product code.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

interface LogCall {
  readonly place: string;
  /** The last argument, as it stands in the source. */
  readonly event: string;
}

function sources(): string[] {
  return readdirSync(join(root, 'packages'))
    .flatMap((name) =>
      readdirSync(join(root, 'packages', name, 'src'), { recursive: true, encoding: 'utf8' }).map(
        (file) => join('packages', name, 'src', file),
      ),
    )
    .filter((file) => file.endsWith('.ts') && !/\.test\.ts$|\/testing\/|test-kit/.test(file));
}

/** Splits the arguments of the call whose opening parenthesis is at `open`. Strings hold no brackets that matter here. */
function argumentsAt(text: string, open: number): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = open + 1;
  for (let at = open; at < text.length; at++) {
    const character = text[at] ?? '';
    if (character === "'" || character === '`') {
      at = text.indexOf(character, at + 1);
      if (at < 0) break;
    } else if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character) && --depth === 0) {
      found.push(text.slice(start, at).trim());
      break;
    } else if (character === ',' && depth === 1) {
      found.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  return found.filter((argument) => argument !== '');
}

function callsIn(file: string, text: string): LogCall[] {
  return [...text.matchAll(/\blogger\??\.(?:debug|info|warn|error)\(/g)].map((match) => {
    const all = argumentsAt(text, match.index + match[0].length - 1);
    const line = text.slice(0, match.index).split('\n').length;
    return {
      place: `${file}:${line}`,
      event: all.length === 2 ? (all[1] ?? '') : `of ${all.length} arguments`,
    };
  });
}

const wellNamed = ({ event }: LogCall): boolean => /^'[a-z][a-z0-9]*(_[a-z0-9]+)*'$/.test(event);

it('every log event has a name that can be looked for', () => {
  const calls = sources().flatMap((file) => callsIn(file, readFileSync(join(root, file), 'utf8')));
  expect(calls.length).toBeGreaterThan(50);
  // The reason why a process ends is chosen where the error is explained.
  const exceptions = calls.filter((call) => !wellNamed(call));
  expect(exceptions.map(({ event }) => event)).toEqual(['event']);
});

it('other names are seen', () => {
  const text = `
    this.logger.info({ a: f(1, [2]) }, 'Store up');
    logger?.warn({}, \`with \${x}\`);
    logger.error('no_facts');
    logger.debug({ text: 'a, b' }, 'good_name');`;
  const events = callsIn('planted.ts', text).filter((call) => !wellNamed(call));
  expect(events.map(({ place }) => place)).toEqual([
    'planted.ts:2',
    'planted.ts:3',
    'planted.ts:4',
  ]);
});
