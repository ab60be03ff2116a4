/** Keeps the documents true: lists are compared with the code, commands and their flags must exist. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExitCode } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { runCommandLine } from './command-line.ts';
import { environmentName, settings } from './config/settings.ts';
import { metricsOf } from './http/metrics.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/operations.md'];

async function outputOf(args: readonly string[]): Promise<string> {
  let text = '';
  const take = (chunk: string): void => {
    text += chunk;
  };
  expect(await runCommandLine(args, { out: take, err: take })).toBe(ExitCode.ok);
  return text;
}

/** The commands of the fenced `sh` blocks of a document, comments cut off. */
function commandsOf(document: string): string[] {
  return [...read(document).matchAll(/```sh\n(.*?)```/gs)]
    .flatMap((block) => (block[1] ?? '').split('\n'))
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** First cells of a table's rows that are code, and the code in the cell after. */
function tableOf(document: string, heading: string): [string, string][] {
  const section =
    read(document)
      .split(/^## /m)
      .find((part) => part.startsWith(heading)) ?? '';
  return [...section.matchAll(/^\| `?([^`|]+?)`? \| `?([^`|]+?)`? \|/gm)]
    .map((row): [string, string] => [row[1] ?? '', row[2] ?? ''])
    .filter(([first]) => !/^(-+|key|code)$/.test(first));
}

describe('commands in the documents', () => {
  const all = documents.flatMap((document) =>
    commandsOf(document).map((command) => ({ document, command })),
  );

  it('are found', () => {
    expect(all.length).toBeGreaterThan(15);
  });

  const flotilla = all.filter(({ command }) => /^(\.\/bin\/)?flotilla /.test(command));
  it.each(flotilla)('$command ($document)', async ({ command }) => {
    const [, name = '', ...args] = command.split(/\s+/);
    const path = ['range', 'store'].includes(name) ? [name, args[0] ?? ''] : [name];
    const help = await outputOf([...path, '--help']);
    const own = name === 'sql' ? args.slice(0, args.indexOf('-c')) : args;
    for (const flag of own.filter((arg) => arg.startsWith('--'))) expect(help).toContain(flag);
  });

  const scripts = all.filter(({ command }) => /^\.\/bin\/(demo|test)/.test(command));
  it.each(scripts)('$command ($document)', ({ command }) => {
    const [program = '', ...args] = command.split(/\s+/);
    const help = spawnSync('sh', [join(root, program), '--help'], { encoding: 'utf8' });
    expect(help.status).toBe(0);
    for (const flag of args.filter((arg) => arg.startsWith('--')))
      expect(help.stdout).toContain(flag);
  });

  const pnpm = all.filter(({ command }) => command.startsWith('pnpm run '));
  it.each(pnpm)('$command ($document)', ({ command }) => {
    const manifest = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(Object.keys(manifest.scripts)).toContain(command.split(/\s+/)[2]);
  });

  it.each(documents)('%s names only files that are there', (document) => {
    const paths = [
      ...read(document).matchAll(/`((?:docs|packages|deploy|scripts|bin|e2e)\/[^`\s*…]+)`/g),
    ]
      .map((match) => match[1] ?? '')
      .filter((path) => !/[*…{]|\/(gen|dist)(\/|$)/.test(path));
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe('help', () => {
  const names = [
    'start',
    'init',
    'status',
    'range',
    'store',
    'top',
    'events',
    'sql',
    'version',
    'in-process-cluster',
  ];
  it.each(names)('flotilla %s --help has an example', async (name) => {
    expect(await outputOf([name, '--help'])).toMatch(
      new RegExp(`Example:\n {2}\\$ flotilla ${name}`),
    );
  });

  it('is not needed for the version', async () => {
    expect(await outputOf(['version'])).toMatch(/^flotilla \d+\.\d+\.\d+ \(node \d+/);
  });
});

describe('what to be woken for', () => {
  it('names figures that there are', async () => {
    const served = await metricsOf({ nowMs: () => 0 }).metrics();
    const named = [...read('docs/operations.md').matchAll(/`(flotilla_[a-z0-9_]+)`/g)];
    expect(named.length).toBeGreaterThan(5);
    for (const [, name = ''] of named) expect(served).toContain(`# TYPE ${name} `);
  });
});

describe('lists in the documents', () => {
  it('has every setting in docs/operations.md', () => {
    expect(tableOf('docs/operations.md', 'Settings')).toEqual(
      settings.map(({ key }) => [key, environmentName(key)]),
    );
  });

  it('has every exit code in docs/operations.md', () => {
    expect(tableOf('docs/operations.md', 'Exit codes')).toEqual(
      Object.entries(ExitCode).map(([name, code]) => [String(code), name]),
    );
  });

  it('has every error code in packages/base/ERRORS.md', () => {
    const code = read('packages/base/src/errors.ts');
    const union = code.slice(code.indexOf('type ErrorCode'), code.indexOf('interface'));
    const inCode = [...union.matchAll(/\| '([A-Z_]+)'/g)].map((match) => match[1]);
    const inText = [...read('packages/base/ERRORS.md').matchAll(/^\| `([A-Z_]+)` \|/gm)];
    expect(inCode.length).toBeGreaterThan(5);
    expect(inText.map((match) => match[1])).toEqual(inCode);
  });

  it('has every dependency of the workspace in docs/dependencies.md, and no other', () => {
    const used = new Set<string>();
    const places = [
      '',
      'e2e/',
      ...readdirSync(join(root, 'packages')).map((p) => `packages/${p}/`),
    ];
    for (const place of places.filter((place) => existsSync(join(root, `${place}package.json`)))) {
      const manifest = JSON.parse(read(`${place}package.json`)) as Record<
        string,
        object | undefined
      >;
      for (const kind of ['dependencies', 'devDependencies']) {
        for (const name of Object.keys(manifest[kind] ?? {})) used.add(name);
      }
    }
    const external = [...used].filter((name) => !name.startsWith('@flotilla/')).sort();
    const listed = [...read('docs/dependencies.md').matchAll(/^\| (`[^|]+`) \|/gm)].flatMap((row) =>
      [...(row[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]),
    );
    expect(listed.sort()).toEqual(external);
  });
});
