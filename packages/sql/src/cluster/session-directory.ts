/**
 * The sessions of all processes: asks the others who is there, and has them stop or end one. Messages may be lost: who does not
 * answer in time is left out. What sessions of this process are asked to do, `SessionRegistry` knows.
 */
import type { Clock } from '@flotilla/base';
import { sessionHosts } from '../limits.ts';
import type { Peers } from './peers.ts';
import type { ProcessDirectory } from './process-directory.ts';
import type { SessionFacts, SessionRegistry } from './session-facts.ts';

export type Signal = 'cancel' | 'terminate';

const askTopic = 'sessions';
const answerTopic = 'sessions-answer';

type Question =
  | { readonly id: number; readonly kind: 'list' }
  | { readonly id: number; readonly kind: Signal; readonly processId: number };

interface Answer {
  readonly id: number;
  readonly sessions?: readonly SessionFacts[];
  /** More of the same follow. */
  readonly more?: boolean;
  readonly done?: boolean;
}

interface Asked {
  readonly sessions: SessionFacts[];
  readonly resolve: (done: boolean) => void;
}

export interface SessionDirectoryOptions {
  readonly clock: Clock;
  readonly peers: Peers | undefined;
  readonly processes: ProcessDirectory;
  readonly registry: SessionRegistry;
}

export class SessionDirectory {
  private readonly options: SessionDirectoryOptions;
  private readonly asked = new Map<number, Asked>();
  private lastId = 0;

  constructor(options: SessionDirectoryOptions) {
    this.options = options;
    options.peers?.listen(askTopic, (from, payload) => this.answer(from, payload));
    options.peers?.listen(answerTopic, (_from, payload) => this.take(payload));
  }

  /** Of every process that answers. Throws DbError. */
  async all(): Promise<readonly SessionFacts[]> {
    const { processes, registry } = this.options;
    const others = await processes.others();
    const answers = await Promise.all(
      others.map(async (to) => (await this.ask(to, { kind: 'list' })).sessions),
    );
    return [...registry.all(), ...answers.flat()];
  }

  /** @returns whether the session was there to be told. Throws DbError. */
  async signal(processId: number, kind: Signal): Promise<boolean> {
    const { processes, registry } = this.options;
    if (registry.signal(processId, kind)) return true;
    const others = await processes.others();
    const told = await Promise.all(
      others.map(async (to) => (await this.ask(to, { kind, processId })).done),
    );
    return told.includes(true);
  }

  private ask(
    to: string,
    question: { readonly kind: 'list' } | { readonly kind: Signal; readonly processId: number },
  ): Promise<{ readonly sessions: readonly SessionFacts[]; readonly done: boolean }> {
    const { peers, clock } = this.options;
    const id = ++this.lastId;
    return new Promise((resolve) => {
      const sessions: SessionFacts[] = [];
      const end = (done: boolean): void => {
        timer.cancel();
        this.asked.delete(id);
        resolve({ sessions, done });
      };
      const timer = clock.setTimer(sessionHosts.answerMs, () => end(false));
      this.asked.set(id, { sessions, resolve: end });
      peers?.send(to, askTopic, encode({ id, ...question }));
    });
  }

  private answer(from: string, payload: Uint8Array): void {
    const { peers, registry } = this.options;
    const question = decode(payload) as Partial<Question> | undefined;
    const { id, kind } = question ?? {};
    if (id === undefined) return;
    const say = (answer: Answer): void => peers?.send(from, answerTopic, encode(answer));
    if (kind === 'list') {
      const all = [...registry.all()];
      const parts = Math.max(1, Math.ceil(all.length / sessionHosts.sessionsPerMessage));
      for (let part = 0; part < parts; part++) {
        const at = part * sessionHosts.sessionsPerMessage;
        const sessions = all.slice(at, at + sessionHosts.sessionsPerMessage);
        say({ id, sessions, more: part < parts - 1 });
      }
    } else if ((kind === 'cancel' || kind === 'terminate') && 'processId' in (question ?? {})) {
      const { processId = 0 } = question as { readonly processId?: number };
      say({ id, done: registry.signal(processId, kind) });
    }
  }

  private take(payload: Uint8Array): void {
    const answer = decode(payload) as Answer | undefined;
    const asked = this.asked.get(answer?.id ?? 0);
    if (answer === undefined || asked === undefined) return;
    for (const session of answer.sessions ?? []) asked.sessions.push(session);
    if (answer.more !== true) asked.resolve(answer.done === true);
  }
}

const big = /^-?\d+n$/;

function encode(message: object): Uint8Array {
  const text = JSON.stringify(message, (_key, value: unknown) =>
    typeof value === 'bigint' ? { bigint: String(value) } : value,
  );
  return Buffer.from(text, 'utf8');
}

/** Undefined: it cannot be read. */
function decode(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'), (_key, value: unknown) =>
      isBig(value) ? BigInt(value.bigint) : value,
    );
  } catch {
    return undefined;
  }
}

function isBig(value: unknown): value is { readonly bigint: string } {
  const { bigint } = (value ?? {}) as { readonly bigint?: unknown };
  return typeof bigint === 'string' && big.test(`${bigint}n`);
}
