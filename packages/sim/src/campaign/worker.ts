/** A process that runs the seeds it is sent, one at a time. Started by `pool.ts` alone. */
import { armTripWires } from '../world/trip-wires.ts';
import { type Job, runJob } from './job.ts';

armTripWires();
process.on('message', (job: Job) => {
  runJob(job).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
// Whoever started it is gone.
process.on('disconnect', () => process.exit(0));
