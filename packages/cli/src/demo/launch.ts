/**
 * Starts one planned process: detached, in a session of its own, its output appended to its log file, so that neither
 * our end nor a Ctrl-C in the terminal reaches it. Waiting for it to serve is a second step.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ProcessPlan } from './demo-plan.ts';
import type { ManagedProcess } from './demo-state.ts';
import { portAnswers } from './ports.ts';
import { isAlive, startTimeOf } from './process-identity.ts';

/** A process of the demo did not come up; the text holds the end of its log. */
export class LaunchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LaunchError';
  }
}

export async function launch(plan: ProcessPlan): Promise<ManagedProcess> {
  mkdirSync(dirname(plan.logFile), { recursive: true });
  if (plan.readyFile !== undefined) {
    mkdirSync(dirname(plan.readyFile), { recursive: true });
    rmSync(plan.readyFile, { force: true });
  }
  const log = openSync(plan.logFile, 'a');
  try {
    const child = spawn(plan.command, plan.args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => {
        reject(new LaunchError(`${plan.name} could not be started: ${error.message}`));
      });
    });
    child.unref();
    const pid = child.pid ?? 0;
    const startTime = startTimeOf(pid);
    if (startTime === undefined) throw new LaunchError(failureText(plan));
    return { name: plan.name, role: plan.role, pid, startTime };
  } finally {
    closeSync(log);
  }
}

/** Resolves when the process serves. @throws LaunchError if it ends or takes longer than `timeoutMs` */
export async function waitUntilReady(
  plan: ProcessPlan,
  managed: ManagedProcess,
  options: { readonly natsPort: number | undefined; readonly timeoutMs: number },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    if (await serves(plan, managed, options.natsPort)) return;
    if (!isAlive(managed)) throw new LaunchError(failureText(plan));
    if (performance.now() > deadline) {
      throw new LaunchError(
        `${plan.name} does not serve after ${Math.round(options.timeoutMs / 1000)} s; ` +
          `its log: ${plan.logFile}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
}

async function serves(
  plan: ProcessPlan,
  managed: ManagedProcess,
  natsPort: number | undefined,
): Promise<boolean> {
  if (plan.readyFile === undefined) return natsPort !== undefined && (await portAnswers(natsPort));
  try {
    const ready: unknown = JSON.parse(readFileSync(plan.readyFile, 'utf8'));
    return (
      typeof ready === 'object' && ready !== null && 'pid' in ready && ready.pid === managed.pid
    );
  } catch {
    return false; // not written yet
  }
}

function failureText(plan: ProcessPlan): string {
  let tail = '';
  try {
    tail = readFileSync(plan.logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n  ');
  } catch {
    tail = '(no log)';
  }
  return `${plan.name} ended at once. The end of ${plan.logFile}:\n  ${tail}`;
}
