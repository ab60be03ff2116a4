/**
 * Runs the test that was written for a rule on sources that lack it: it must fail there, and pass on those that have it.
 * Tests run as everywhere else, in a process of their own.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './hunt.ts';
import type { Directed, Mutant } from './mutant.ts';
import type { Workshop } from './workshop.ts';

/** What vitest writes of a run, as far as it is read here. */
interface TestReport {
  readonly numPassedTests: number;
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** A test that takes longer does not end. Unit: ms. */
const testMsMax = 120_000;

export class TestBench {
  private readonly workshop: Workshop;
  /** By file, of the sources as they are: many bugs may have one test. */
  private readonly controls = new Map<string, Promise<readonly string[]>>();

  constructor(workshop: Workshop) {
    this.workshop = workshop;
  }

  async run(mutant: Mutant, { test }: Directed): Promise<Outcome> {
    const startedAt = process.hrtime.bigint();
    const failed = await failuresOf(this.workshop.plantInSources(mutant), test);
    const control = this.controls.get(test) ?? failuresOf(this.workshop.sources, test);
    this.controls.set(test, control);
    const [first = ''] = failed;
    return {
      mutant,
      result: failed.length > 0 ? 'killed' : 'survived',
      seed: 0,
      death: failed.length > 0 ? 'test' : undefined,
      reported: first,
      seeds: 0,
      seconds: Number(process.hrtime.bigint() - startedAt) / 1e9,
      falseAlarms: await control,
    };
  }
}

/** @returns names of the tests of the file that fail */
async function failuresOf(tree: string, test: string): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'sim-mutations-test-'));
  const output = join(directory, 'report.json');
  try {
    await vitest(tree, [test, '--reporter=json', `--outputFile=${output}`]);
    const report = JSON.parse(readFileSync(output, 'utf8')) as TestReport;
    const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    // A file that does not load has no tests.
    if (results.length === 0)
      throw new Error(`${test} does not run: ${report.testResults[0]?.message ?? 'no report'}`);
    return results.filter(({ status }) => status === 'failed').map(({ fullName }) => fullName);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function vitest(tree: string, options: readonly string[]): Promise<void> {
  const program = join(tree, 'node_modules/vitest/vitest.mjs');
  const child = spawn(process.execPath, [program, 'run', ...options], {
    cwd: tree,
    stdio: 'ignore',
    timeout: testMsMax,
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => resolve());
  });
}
