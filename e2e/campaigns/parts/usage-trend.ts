/**
 * What processes hold over a run, and whether it grows without end. A process that was killed begins anew, so only those
 * that lived through the whole run are judged: the gateway and the stores that faults spare.
 *
 * Criterion: the median of the last quarter of the run is compared with that of the second (the first is warming up).
 * Resident memory may be a quarter more plus 48 MiB; handles that are no files may be 16 more; files of a store that are
 * not LevelDB's tables may be 16 more; and what lies beside the engine and the log (snapshots that were received, say) is
 * among them.
 */
import type { ProcessCluster } from '../../harness/process-cluster.ts';
import { directoryUsage, percentile, usageOf } from '../../harness/process-usage.ts';

interface Sample {
  readonly ownMib: number;
  readonly handles: number;
  readonly files: number;
  readonly diskMib: number;
}

const everyMs = 2000;
const allowed = {
  ownMib: { share: 1.25, more: 48 },
  handles: { share: 1, more: 16 },
  files: { share: 1, more: 16 },
} as const;

export class UsageTrend {
  private readonly cluster: ProcessCluster;
  private readonly samples = new Map<string, Sample[]>();
  private readonly timer: NodeJS.Timeout;
  private busy: Promise<void> = Promise.resolve();

  /** @param names of processes */
  constructor(cluster: ProcessCluster, names: readonly string[]) {
    this.cluster = cluster;
    for (const name of names) this.samples.set(name, []);
    this.timer = setInterval(() => {
      this.busy = this.busy.then(() => this.sample());
    }, everyMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.busy;
  }

  /** Per process and measure: the medians of the second and the last quarter. */
  figures(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      [...this.samples].map(([name, samples]) => {
        const of = (field: keyof Sample): string => {
          const { early, late } = medians(samples, field);
          return `${Math.round(early)} -> ${Math.round(late)}`;
        };
        const text = `memory ${of('ownMib')} MiB, handles ${of('handles')}, files ${of('files')}, disk ${of('diskMib')} MiB`;
        return [name, text];
      }),
    );
  }

  /** @returns what grows; undefined = nothing */
  check(): string | undefined {
    const grown: string[] = [];
    for (const [name, samples] of this.samples) {
      if (samples.length < 8) grown.push(`${name}: only ${samples.length} samples`);
      for (const field of ['ownMib', 'handles', 'files'] as const) {
        const { early, late } = medians(samples, field);
        const { share, more } = allowed[field];
        if (late > early * share + more)
          grown.push(`${field} of ${name}: ${Math.round(early)} -> ${Math.round(late)}`);
      }
    }
    return grown.length === 0 ? undefined : grown.join('; ');
  }

  private async sample(): Promise<void> {
    for (const [name, samples] of this.samples) {
      const usage = await usageOf(this.cluster.pids.get(name) ?? 0);
      if (usage === undefined) continue;
      const disk = await directoryUsage(`${this.cluster.data}/${name}`);
      samples.push({
        ownMib: usage.ownBytes / 2 ** 20,
        handles: usage.handles,
        files: disk.files - disk.tables,
        diskMib: disk.bytes / 2 ** 20,
      });
    }
  }
}

function medians(
  samples: readonly Sample[],
  field: keyof Sample,
): { readonly early: number; readonly late: number } {
  const quarter = Math.floor(samples.length / 4);
  const median = (some: readonly Sample[]): number =>
    percentile(
      some.map((sample) => sample[field]),
      50,
    );
  return {
    early: median(samples.slice(quarter, 2 * quarter)),
    late: median(samples.slice(samples.length - quarter)),
  };
}
