/** Entry of the `flotilla` program (by way of bin/flotilla, which sets UV_THREADPOOL_SIZE). */
import { runCommandLine } from './command-line.ts';

// Whoever reads our output may stop in the middle (`flotilla status | head`): that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

// The clock's timers do not keep a process alive; a command that waits for one must not end because of it.
const keepAlive = setInterval(() => {}, 2 ** 30);
process.exitCode = await runCommandLine(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
});
clearInterval(keepAlive);
