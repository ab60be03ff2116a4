/**
 * Damage to what is stored: bits of the log or of a value turn over, and nobody says so. One store of a run at most, so
 * that only a minority of any range's replicas suffers: the store must find it out, end with its exit code and stay down;
 * the others must go on.
 */
import type { Swarm } from '../swarm.ts';
import type { StoreMachine } from './store-machine.ts';

interface Place {
  /** In [0, 1): where, in what there is. */
  readonly at: number;
  readonly mask: number;
}

/** Newest versions of users' keys: `storage-keys.ts` of shard. */
const dataTag = 0x64;
/** Unit of writes to the log. */
const sectorBytes = 512;

export class Rot {
  private readonly swarm: Swarm;
  private victim: StoreMachine | undefined;

  constructor(swarm: Swarm) {
    this.swarm = swarm;
  }

  /** The process is killed; a bit in the older half of its log turns over; it starts again. */
  flipLog(machine: StoreMachine, fault: Place & { readonly downMs: number }): void {
    if (!this.mayHurt(machine) || machine.store === undefined) return;
    const found = usedPart(machine, fault.at);
    machine.crash(false, fault.downMs);
    if (found === undefined) return;
    machine.rotted();
    machine.disk.flip(found.path, found.offset, fault.mask);
  }

  /** A bit of one value in the engine turns over. It may be read, overwritten or never looked at. */
  flipValue(machine: StoreMachine, fault: Place): void {
    if (!this.mayHurt(machine) || machine.store === undefined) return;
    const rows = machine.engine.rows().filter(({ key }) => key[0] === dataTag);
    const row = rows[Math.floor(fault.at * rows.length)];
    if (row === undefined) return;
    const value = Buffer.from(row.value);
    const at = Math.floor(fault.at * 7919) % value.length;
    value[at] = (value[at] ?? 0) ^ fault.mask;
    machine.rotted({ key: row.key, sound: row.value, rotten: value });
    machine.engine.tamper(row.key, value);
  }

  /** One store at most loses what it promised. */
  mayHurt(machine: StoreMachine): boolean {
    if (this.swarm.stores < 3) return false;
    this.victim ??= machine;
    return this.victim === machine;
  }
}

/** A byte that is not zero, so no padding, in the older half of what is written, if there is enough of it. */
function usedPart(
  { disk }: StoreMachine,
  at: number,
): { path: string; offset: number } | undefined {
  const path = disk
    .paths()
    .filter((each) => each.endsWith('.wal'))
    .sort()[0];
  const content = path === undefined ? undefined : disk.content(path);
  if (path === undefined || content === undefined) return undefined;
  let end = content.length;
  while (end > 0 && content[end - 1] === 0) end--;
  const bytes = Math.floor(end / 2);
  if (bytes < 4 * sectorBytes) return undefined;
  let offset = Math.floor(at * bytes);
  while (content[offset] === 0) offset--;
  return { path, offset };
}
