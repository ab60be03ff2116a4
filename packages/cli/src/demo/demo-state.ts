/**
 * What the demo remembers between its runs: DATA/demo.json. Replaced as a whole, by rename. A file that cannot be read
 * is refused, never guessed at: it is what stands between `--stop` and a stranger's process.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../usage-error.ts';

export interface ManagedProcess {
  readonly name: string;
  readonly role: 'store' | 'gateway' | 'nats';
  readonly pid: number;
  /** Of the process, as `startTimeOf` gave it: tells it from a later one with the same pid. */
  readonly startTime: string;
}

export interface DemoState {
  readonly version: 1;
  readonly stores: number;
  readonly transport: 'nats' | 'memory';
  readonly gatewayPort: number;
  /** Every store's process is a gateway too, and there is no other: their ports, of store 1 first (`gatewayPort`). */
  readonly storeGatewayPorts?: readonly number[] | undefined;
  /** Undefined over the in-memory transport. */
  readonly natsPort?: number | undefined;
  /** Path of the nats-server program. */
  readonly natsServer?: string | undefined;
  /** `flotilla init` has succeeded. */
  readonly founded: boolean;
  readonly processes: readonly ManagedProcess[];
}

const demoState: z.ZodType<DemoState> = z.object({
  version: z.literal(1),
  stores: z.int().min(1),
  transport: z.enum(['nats', 'memory']),
  gatewayPort: z.int(),
  storeGatewayPorts: z.array(z.int()).optional(),
  natsPort: z.int().optional(),
  natsServer: z.string().optional(),
  founded: z.boolean(),
  processes: z.array(
    z.object({
      name: z.string(),
      role: z.enum(['store', 'gateway', 'nats']),
      pid: z.int().min(1),
      startTime: z.string(),
    }),
  ),
});

export function stateFile(data: string): string {
  return join(data, 'demo.json');
}

/** @throws UsageError if the file is there and is not ours */
export function loadState(data: string): DemoState | undefined {
  let text: string;
  try {
    text = readFileSync(stateFile(data), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return demoState.parse(JSON.parse(text));
  } catch {
    throw new UsageError(
      `${stateFile(data)} is not a demo's state; use another --data directory, or remove it by hand`,
    );
  }
}

export function saveState(data: string, state: DemoState): void {
  mkdirSync(data, { recursive: true });
  const temporary = `${stateFile(data)}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(temporary, stateFile(data));
}

/** The state with one process's entry put in or replaced. */
export function withProcess(state: DemoState, entry: ManagedProcess): DemoState {
  const others = state.processes.filter((other) => other.name !== entry.name);
  return { ...state, processes: [...others, entry] };
}
