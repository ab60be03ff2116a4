import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mutants } from './catalogue.ts';
import { Control, type HuntOptions, hunt, jobOf } from './hunt.ts';
import {
  applyChange,
  type Hunt,
  isDirected,
  isHunted,
  type Mutant,
  mutatedSources,
} from './mutant.ts';
import { lineOf, pageOf } from './report.ts';
import { transpile } from './transpile.ts';
import { verdictOf } from './verdict.ts';
import { Workshop } from './workshop.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

describe('the catalogue fits the tree', () => {
  it('has names of its own for enough bugs', () => {
    const names = mutants.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !/^[a-z]+(-[a-z]+)*$/.test(name))).toEqual([]);
    expect(mutants.filter(isHunted).length).toBeGreaterThanOrEqual(36);
  });

  it.each(mutants)(
    '$name: every text stands in its file once, and the program is another',
    (mutant) => {
      for (const [file, text] of mutatedSources(mutant, read)) {
        expect(existsSync(join(root, file))).toBe(true);
        // Comments and types alone would change nothing that runs.
        expect(transpile(text, file)).not.toBe(transpile(read(file), file));
      }
      if (isDirected(mutant.hunt)) expect(existsSync(join(root, mutant.hunt.test))).toBe(true);
    },
  );
});

describe('a change', () => {
  const change = { file: 'f', find: 'a < b', replace: 'a <= b' };
  it('replaces what stands there once', () => {
    expect(applyChange('if (a < b) {', change)).toBe('if (a <= b) {');
  });
  it('is refused where its text is missing or not unique', () => {
    expect(() => applyChange('if (a > b) {', change)).toThrow('f: not found: a < b');
    expect(() => applyChange('a < b || a < b', change)).toThrow('f: more than once: a < b');
  });
});

describe('what a failing seed says', () => {
  const death = (kind: string, message: string): string => {
    const verdict = verdictOf({ failure: { kind, message } as never });
    return verdict.kind === 'killed' ? verdict.death : verdict.kind;
  };
  it('a property, an assertion, a cluster that does not serve', () => {
    expect(death('twoLeaders', 't3: a and b')).toBe('checker');
    expect(death('exit', 'store-1 ended with 70: InvariantViolation: entries')).toBe('assertion');
    expect(death('liveness', 'one does not serve')).toBe('liveness');
    expect(death('simulator', 'the process ended with SIGKILL')).toBe('liveness');
    expect(death('simulator', 'DbError: founded, but range 1 has no leaseholder')).toBe('liveness');
  });
  it('nothing, where the checker gave up or the program does not run', () => {
    expect(verdictOf({ failure: undefined }).kind).toBe('lives');
    expect(death('undecided', 'budget')).toBe('lives');
    expect(death('simulator', 'the process ended with 1')).toBe('broken');
    expect(death('exit', 'store-1 ended with 1: TypeError: x is not a function')).toBe('broken');
  });
});

describe('with a tree of its own', () => {
  const mutant: Mutant & { readonly hunt: Hunt } = {
    name: 'planted',
    breaks: 'a rule',
    changes: [{ file: 'packages/sim/src/rule.ts', find: 'n > 1', replace: 'n >= 1' }],
    hunt: { only: ['crash'], swarm: { stores: 5 } },
  };
  const options: HuntOptions = {
    from: 10,
    seeds: 5,
    seconds: 60,
    seedSeconds: 60,
    processes: 1,
  };
  const controls: Control[] = [];
  const controlOf = (program: string): Control => {
    const control = new Control(program, options);
    controls.push(control);
    return control;
  };
  /** Processes are started: the machine may be busy. Unit: ms. */
  const patient = 60_000;
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sim-mutations-test-'));
  });
  afterEach(() => {
    for (const control of controls.splice(0)) control.close();
    rmSync(directory, { recursive: true });
  });

  function put(path: string, text: string): string {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  }

  /** A worker whose seeds fail as the table says. */
  function worker(name: string, failures: Readonly<Record<number, object>>): string {
    return put(
      `${name}.mjs`,
      `const failures = ${JSON.stringify(failures)};
      process.on('message', (job) => process.send({ job, cpuMs: 20_000, failure: failures[job.seed] }));
      process.on('disconnect', () => process.exit(0));`,
    );
  }

  const lost = { kind: 'committedLost', message: 'i7 is gone\nmore' };

  it('a program with the mutant differs by it, and the original stays as it is', () => {
    const source = 'export const rule = (n: number): boolean => n > 1;\n';
    put(
      'packages/sim/package.json',
      '{"type":"module","dependencies":{"@flotilla/base":"workspace:*"}}',
    );
    put('packages/base/package.json', '{}');
    put('packages/sim/src/rule.ts', source);
    const built = put('packages/sim/dist/rule.js', transpile(source, 'rule.ts'));
    put(
      'packages/sim/dist/campaign/worker.js',
      "import { rule } from '../rule.js';\nconsole.log(rule(1));",
    );
    const before = readFileSync(built, 'utf8');
    const said = (program: string): string =>
      execFileSync(process.execPath, [program], { encoding: 'utf8' }).trim();
    const workshop = new Workshop(directory, [mutant]);
    try {
      const program = workshop.plant(mutant);
      expect([said(program), said(workshop.worker)]).toEqual(['true', 'false']);
      expect(readFileSync(built, 'utf8')).toBe(before);
      workshop.clear(mutant);
      expect(existsSync(program)).toBe(false);
    } finally {
      workshop.close();
    }
  });

  it(
    'is hunted until a seed kills it that passes without it',
    async () => {
      const workers = {
        mutated: worker('mutated', { 11: lost, 12: lost }),
        control: controlOf(worker('as-it-is', { 11: lost })),
      };
      const outcome = await hunt(mutant, workers, options);
      expect(outcome).toMatchObject({
        result: 'killed',
        seed: 12,
        death: 'checker',
        reported: 'committedLost: i7 is gone',
        falseAlarms: ['seed 11: committedLost: i7 is gone'],
      });
      expect(lineOf(outcome)).toContain('FAILS WITHOUT IT TOO: seed 11');
      const all = [
        mutant,
        { ...mutant, name: 'alive', unfound: 'rare' },
        { ...mutant, name: 'same', equivalent: 'covered' },
      ];
      expect(all.filter(isHunted)).toEqual([mutant]);
      const page = pageOf([outcome], all, { wallSeconds: 3, processes: 2 });
      expect(page).toContain('| alive | a rule | rare |');
      expect(page).toContain('| same | a rule | covered |');
      expect(page).toContain(
        '| planted | a rule | 12 | checker | committedLost: i7 is gone | 3 | 60.0 |',
      );
    },
    patient,
  );

  it(
    'survives if no seed shows it, or none in time',
    async () => {
      const workers = {
        mutated: worker('mutated', {}),
        control: controlOf(worker('as-it-is', {})),
      };
      const all = await hunt(mutant, workers, { ...options, seconds: 1000 });
      expect([all.result, all.seeds]).toEqual(['survived', 5]);
      const some = await hunt(mutant, workers, { ...options, seeds: Infinity });
      expect(some.result).toBe('survived');
      expect(some.seeds).toBeLessThan(10);
    },
    patient,
  );

  it(
    'proves nothing if it does not run',
    async () => {
      const workers = { mutated: put('mutated.mjs', 'process.exit(1);'), control: controlOf('') };
      expect((await hunt(mutant, workers, options)).result).toBe('broken');
    },
    patient,
  );

  it('is hunted in the world that it asks for', () => {
    expect(jobOf(mutant, 7)).toEqual({
      seed: 7,
      once: true,
      only: ['crash'],
      swarm: { stores: 5 },
    });
  });
});
