/**
 * A vitest reporter that leaves "passed failed" in the file named by FLOTILLA_TEST_COUNTS, for the closing line of
 * bin/test. A test file that cannot be loaded and an error outside any test count as failures.
 */
import { writeFileSync } from 'node:fs';
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule } from 'vitest/node';

class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    let skipped = 0;
    for (const module of modules) {
      failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') passed++;
        else if (state === 'failed') failed++;
        else skipped++;
      }
    }
    const file = process.env.FLOTILLA_TEST_COUNTS;
    if (file !== undefined) writeFileSync(file, `${passed} ${failed}\n`);
    if (skipped > 0) process.stdout.write(`${skipped} tests were skipped or never ran\n`);
  }
}

// vitest finds a reporter by its default export.
// biome-ignore lint/style/noDefaultExport: the interface of vitest
export default CountReporter;
