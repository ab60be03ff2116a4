/** Entry of the `flotilla` program (by way of bin/flotilla, which sets UV_THREADPOOL_SIZE). */
import { runCommandLine } from './command-line.ts';

process.exitCode = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
