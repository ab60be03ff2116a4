/**
 * Who changes the members of ranges, as an operator or a placement driver would: asks the leaseholder, and asks again,
 * whoever that is by then, until it is done or nobody needs it any more. Wishes are what faults and damage make of them;
 * at the end every range shall have as many voters as it was founded with, on stores that live.
 */
import {
  compareBytes,
  kvPrefix,
  metaPrefix,
  rootEndKey,
  type Span,
  type StoreId,
  spanContains,
} from '@flotilla/base';
import type { Configuration } from '@flotilla/raft';
import { changeReplicas, consensusOf, inspectStore, splitRange } from '@flotilla/shard/testing';
import type { World } from '../world/world.ts';
import type { StoreMachine } from './store-machine.ts';

export interface Goal {
  readonly add: readonly StoreId[];
  readonly remove: readonly StoreId[];
}

export interface OperatorOptions {
  readonly world: World;
  /** Grows when a damaged store is replaced. */
  readonly machines: readonly StoreMachine[];
  /** Those that there are by now. */
  readonly rangeIds: () => readonly number[];
  readonly foundingRanges: number;
  /** Voters of every range at the end, as far as there are stores. */
  readonly replication: number;
}

/** Most and fewest voters that a wish may lead to. */
const votersMax = 5;
/** Unit: ms. */
const askAgainMs = 100;

export class Operator {
  /** Changes that were asked for, and how many a leaseholder called done. */
  asked = 0;
  done = 0;
  private readonly options: OperatorOptions;
  /** By range: what is wished for, until it is done. */
  private readonly goals = new Map<number, Goal>();
  private readonly waiting = new Set<number>();
  private restoring = false;

  constructor(options: OperatorOptions) {
    this.options = options;
  }

  /** One voter goes from one store to another; without a spare store nothing happens. Numbers are taken modulo. */
  move(range: number, from: number, to: number): void {
    const rangeId = this.rangeAt(range, from);
    const found = this.membersOf(rangeId);
    const spare = found && this.spareStores(found.configuration);
    if (found === undefined || spare === undefined || spare.length === 0) return;
    const stores = storesOf(found.configuration);
    const [leaves, comes] = [stores[from % stores.length], spare[to % spare.length]];
    if (leaves !== undefined && comes !== undefined)
      this.wish(rangeId, { add: [comes], remove: [leaves] });
  }

  /** A voter more, up to five. */
  grow(range: number, to: number): void {
    const rangeId = this.rangeAt(range, to);
    const found = this.membersOf(rangeId);
    const spare = found && this.spareStores(found.configuration);
    if (found === undefined || spare === undefined) return;
    const comes = spare[to % Math.max(1, spare.length)];
    if (comes !== undefined && storesOf(found.configuration).length < votersMax)
      this.wish(rangeId, { add: [comes], remove: [] });
  }

  /** A voter less, down to what the range was founded with. */
  shrink(range: number, from: number): void {
    const rangeId = this.rangeAt(range, from);
    const found = this.membersOf(rangeId);
    if (found === undefined) return;
    const stores = storesOf(found.configuration);
    const leaves = stores[from % stores.length];
    if (leaves !== undefined && stores.length > this.options.replication)
      this.wish(rangeId, { add: [], remove: [leaves] });
  }

  /** Voters on damaged stores are replaced. */
  repair(rangeId: number): void {
    const found = this.membersOf(rangeId);
    const needed = found && this.neededFor(found.configuration);
    if (needed !== undefined && !this.restoring) this.wish(rangeId, needed);
  }

  /** From now on every range is brought back to its number of voters on stores that live. */
  restore(): void {
    this.restoring = true;
    this.goals.clear();
    for (const rangeId of this.options.rangeIds()) this.pursue(rangeId);
  }

  /** Nothing is wished for any more: stores place replicas themselves. */
  rest(): void {
    this.goals.clear();
  }

  /**
   * Asks the leader of a range to cut it at a key that begins with `0x08 ‖ at`, or close to its beginning; a range that
   * holds the map, at such a row of it. Numbers are taken modulo. @returns whom it asked
   */
  split(range: number, at: number): StoreMachine | undefined {
    const ids = this.options.rangeIds();
    const rangeId = ids[range % Math.max(1, ids.length)];
    const machine = rangeId === undefined ? undefined : this.membersOf(rangeId)?.machine;
    const store = machine?.store;
    if (rangeId === undefined || store === undefined) return undefined;
    const view = inspectStore(store).find((each) => each.rangeId === rangeId);
    const key = view && splitKey(view.descriptor, at);
    if (key === undefined) return undefined;
    // The store may die, and then nobody ever answers; what it says is seen in what is applied.
    splitRange(store, rangeId, key).catch(() => {});
    return machine;
  }

  /** What of a range is not yet as it should be, or undefined. */
  unfinished(rangeId: number): string | undefined {
    // One that was cut off only now.
    if (this.restoring) this.pursue(rangeId);
    const found = this.membersOf(rangeId);
    if (found === undefined) return 'nobody leads';
    const { voters, votersOutgoing, learners } = found.configuration;
    if (votersOutgoing.length > 0) return 'a joint configuration is left';
    if (learners.length > 0) return `learners are left: ${learners}`;
    const wanted = this.neededFor(found.configuration);
    if (wanted !== undefined)
      return `${voters.length} voters: add ${wanted.add} remove ${wanted.remove}`;
    return undefined;
  }

  /** A founding range by its number or, by chance, one that was cut off since. */
  private rangeAt(range: number, spread: number): number {
    const ids = this.options.rangeIds();
    const { foundingRanges } = this.options;
    return ids[(range - 1 + spread * foundingRanges) % Math.max(1, ids.length)] ?? range;
  }

  private wish(rangeId: number, goal: Goal): void {
    if (this.goals.has(rangeId)) return;
    this.goals.set(rangeId, goal);
    this.pursue(rangeId);
  }

  private pursue(rangeId: number): void {
    if (this.waiting.has(rangeId)) return;
    this.waiting.add(rangeId);
    void this.askUntilDone(rangeId);
  }

  private async askUntilDone(rangeId: number): Promise<void> {
    while (this.restoring || this.goals.has(rangeId)) {
      const found = this.membersOf(rangeId);
      const goal = this.restoring
        ? found && this.neededFor(found.configuration)
        : this.goals.get(rangeId);
      const store = found?.machine.store;
      if (
        found !== undefined &&
        goal !== undefined &&
        this.leavesTooFew(found.configuration, goal)
      ) {
        this.goals.delete(rangeId);
        continue;
      }
      if (goal !== undefined && store !== undefined) {
        this.asked++;
        const answer = changeReplicas(store, rangeId, goal);
        // The store may die, and then nobody ever answers.
        const ok = await Promise.race([
          answer.then(
            (response) => response.changeReplicas?.ok === true,
            () => false,
          ),
          this.pause(20 * askAgainMs).then(() => false),
        ]);
        if (ok) {
          this.done++;
          this.goals.delete(rangeId);
          if (!this.restoring) break;
        }
      }
      await this.pause(askAgainMs);
    }
    this.waiting.delete(rangeId);
  }

  /** Placement has changed the range since this was wished for. */
  private leavesTooFew(configuration: Configuration, { add, remove }: Goal): boolean {
    if (this.restoring) return false;
    const after = new Set([...storesOf(configuration), ...add]);
    for (const storeId of remove) after.delete(storeId);
    return after.size < this.options.replication;
  }

  private neededFor(configuration: Configuration): Goal | undefined {
    const { replication } = this.options;
    const stores = storesOf(configuration);
    const damaged = stores.filter((storeId) => this.isDamaged(storeId));
    const sound = stores.filter((storeId) => !this.isDamaged(storeId));
    const spare = this.spareStores(configuration);
    const add = spare.slice(0, Math.max(0, replication - sound.length));
    const surplus = sound.slice(0, Math.max(0, sound.length - replication));
    // A damaged one counts as long as nobody can take its place.
    const remove = sound.length + add.length >= replication ? [...damaged, ...surplus] : surplus;
    return add.length + remove.length === 0 ? undefined : { add, remove };
  }

  private spareStores({ storeOf }: Configuration): StoreId[] {
    const members = new Set(storeOf.values());
    return this.options.machines
      .filter(({ storeId, isDamaged, isMember }) => isMember && !isDamaged && !members.has(storeId))
      .map(({ storeId }) => storeId);
  }

  private isDamaged(storeId: StoreId): boolean {
    return this.options.machines.some((each) => each.storeId === storeId && each.isDamaged);
  }

  /** The newest leader's view. */
  private membersOf(
    rangeId: number,
  ): { readonly machine: StoreMachine; readonly configuration: Configuration } | undefined {
    let newest: { term: number; machine: StoreMachine; configuration: Configuration } | undefined;
    for (const machine of this.options.machines) {
      const raft = machine.store && consensusOf(machine.store);
      const status = raft?.statuses().find((each) => each.rangeId === rangeId);
      if (status?.role !== 'leader' || status.configuration === undefined) continue;
      if (newest !== undefined && newest.term > status.term) continue;
      newest = { term: status.term, machine, configuration: status.configuration };
    }
    return newest;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.options.world.after(ms, { kind: 'world', run: resolve });
    });
  }
}

/** Undefined: the range has no room for one. */
function splitKey(range: Span, at: number): Buffer | undefined {
  const wanted = [Buffer.of(...kvPrefix, at), Buffer.of(...kvPrefix, (at + 128) % 256)];
  const found = wanted.find((key) => isInside(range, key));
  if (found !== undefined) return found;
  // Of the meta index, but for its root.
  const row = Buffer.of(...metaPrefix, ...kvPrefix, at);
  if (isInside(range, row)) return row;
  const close = Buffer.of(...range.startKey, at);
  const isRoot = compareBytes(close, rootEndKey) < 0;
  return !isRoot && isInside(range, close) && close.length <= 6 ? close : undefined;
}

function isInside(range: Span, key: Buffer): boolean {
  return spanContains(range, key) && compareBytes(range.startKey, key) < 0;
}

/** Of the voters that stay, in the order of their ids. */
function storesOf({ voters, storeOf }: Configuration): StoreId[] {
  return voters.flatMap((replicaId) => storeOf.get(replicaId) ?? []);
}
