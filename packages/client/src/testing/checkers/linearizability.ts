/**
 * Is a history of one object linearizable? The search of Wing and Gong with Lowe's memory of visited configurations:
 * take the earliest calls one by one as "happened next" while the model allows them, go back where a return is met whose
 * call was not taken. Near linear for few concurrent operations, exponential at worst; bounded by `stepsMax`. Check each
 * key by itself: a history is linearizable exactly if every object's part of it is (Herlihy and Wing 1990, theorem 1).
 */
import type { Operation, Verdict } from './history.ts';

/** A sequential specification. States are compared by `fingerprint`, so they must be told apart by it. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /**
   * The state after the operation, or undefined where the output is impossible in this state.
   * @param output undefined: not known, any is possible
   */
  step(
    state: State,
    input: Input,
    output: Output | undefined,
  ): { readonly state: State } | undefined;
  fingerprint(state: State): string;
}

interface Event {
  readonly operation: number;
  readonly isCall: boolean;
  /** Never returned: sorted behind all others. */
  readonly isUnknown: boolean;
  readonly at: number;
  previous: Event | undefined;
  next: Event | undefined;
  match: Event | undefined;
}

/** Steps that `checkLinearizable` takes unless told otherwise: some seconds. */
export const linearizabilityStepsMax: number = 5_000_000;

export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  stepsMax: number = linearizabilityStepsMax,
): Verdict {
  const history = [...operations].sort((a, b) => a.calledAt - b.calledAt);
  const head = linkEvents(history);
  const taken = new BitSet(history.length);
  const seen = new Set<string>();
  const trail: { readonly call: Event; readonly state: State }[] = [];
  let state = model.initial;
  let event = head.next;
  let deepest = 0;
  for (let steps = 0; ; steps++) {
    if (head.next === undefined || event === undefined) return { kind: 'ok' };
    if (steps >= stepsMax) return { kind: 'unknown', message: `no verdict in ${stepsMax} steps` };
    const operation = history[event.operation];
    if (operation === undefined) return { kind: 'ok' };
    if (event.isCall) {
      const output = operation.result.kind === 'ok' ? operation.result.output : undefined;
      const after = model.step(state, operation.input, output);
      taken.set(event.operation);
      const configuration = `${taken.fingerprint()} ${after && model.fingerprint(after.state)}`;
      if (after !== undefined && !seen.has(configuration)) {
        seen.add(configuration);
        trail.push({ call: event, state });
        deepest = Math.max(deepest, trail.length);
        state = after.state;
        lift(event);
        event = head.next;
      } else {
        taken.clear(event.operation);
        event = event.next;
      }
      continue;
    }
    // Every operation that returned has been taken; the others may never have happened.
    if (event.isUnknown) return { kind: 'ok' };
    const last = trail.pop();
    if (last === undefined) return violation(history, deepest);
    taken.clear(last.call.operation);
    state = last.state;
    unlift(last.call);
    event = last.call.next;
  }
}

function violation<Input, Output>(
  history: readonly Operation<Input, Output>[],
  deepest: number,
): Verdict {
  const lines = history.slice(0, 200).map((operation) => JSON.stringify(operation, jsonValue));
  const message = `no order of the operations explains the history (at most ${deepest} of ${history.length} fit):`;
  return { kind: 'violation', message: [message, ...lines].join('\n') };
}

function jsonValue(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Doubly linked calls and returns in order of time, calls before returns at equal times: the widest intervals. */
function linkEvents<Input, Output>(history: readonly Operation<Input, Output>[]): Event {
  const events: Event[] = [];
  for (const [operation, { calledAt, result }] of history.entries()) {
    const links = { previous: undefined, next: undefined, match: undefined };
    const isUnknown = result.kind === 'unknown';
    const call: Event = { operation, isCall: true, isUnknown, at: calledAt, ...links };
    const at = result.kind === 'ok' ? result.returnedAt : Number.POSITIVE_INFINITY;
    const back: Event = { operation, isCall: false, isUnknown, at, ...links };
    call.match = back;
    events.push(call, back);
  }
  const rank = (event: Event): number => (event.isCall ? 0 : event.isUnknown ? 2 : 1);
  events.sort((a, b) => (a.at === b.at ? rank(a) - rank(b) : a.at - b.at));
  const head: Event = {
    operation: -1,
    isCall: false,
    isUnknown: false,
    at: Number.NEGATIVE_INFINITY,
    previous: undefined,
    next: undefined,
    match: undefined,
  };
  let last = head;
  for (const event of events) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

/** Takes a call and its return out of the list; `unlift` puts them back where they were. */
function lift(call: Event): void {
  unlink(call);
  if (call.match !== undefined) unlink(call.match);
}

function unlift(call: Event): void {
  if (call.match !== undefined) relink(call.match);
  relink(call);
}

function unlink(event: Event): void {
  if (event.previous !== undefined) event.previous.next = event.next;
  if (event.next !== undefined) event.next.previous = event.previous;
}

function relink(event: Event): void {
  if (event.previous !== undefined) event.previous.next = event;
  if (event.next !== undefined) event.next.previous = event;
}

class BitSet {
  private readonly words: Uint16Array;

  constructor(size: number) {
    this.words = new Uint16Array(Math.ceil(size / 16));
  }

  set(bit: number): void {
    this.words[bit >> 4] = (this.words[bit >> 4] ?? 0) | (1 << (bit & 15));
  }

  clear(bit: number): void {
    this.words[bit >> 4] = (this.words[bit >> 4] ?? 0) & ~(1 << (bit & 15));
  }

  /** Short where the set is nearly a prefix, as it is when operations are numbered by their calls. */
  fingerprint(): string {
    let from = 0;
    while (this.words[from] === 0xffff) from++;
    let until = this.words.length;
    while (until > from && this.words[until - 1] === 0) until--;
    return `${from}:${String.fromCharCode(...this.words.subarray(from, until))}`;
  }
}
