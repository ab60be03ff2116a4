/** Pictures for tests, and a world in which what is decided happens at once. */
import { type StoreId, toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { nextStep } from '../membership/next-step.ts';
import { type RangeDescriptor, ReplicaRole } from '../range-descriptor.ts';
import type {
  DiskRoom,
  PlacementAction,
  PlacementPicture,
  RangePicture,
  StoreHealth,
  StorePicture,
} from './picture.ts';

export interface StoreSpec {
  readonly machine?: string;
  readonly zone?: string;
  readonly health?: StoreHealth;
  readonly draining?: boolean;
  readonly decommissioning?: boolean;
  readonly disk?: DiskRoom;
}

export function store(id: number, spec: StoreSpec = {}): StorePicture {
  return {
    storeId: toStoreId(id),
    machine: `m${id}`,
    zone: '',
    health: 'live',
    draining: false,
    decommissioning: false,
    ...spec,
  };
}

/** @param voters the first of them leads unless `leader` says otherwise */
export function range(
  id: number,
  voters: readonly number[],
  options: {
    readonly learners?: readonly number[];
    readonly leader?: number;
    readonly bytes?: number;
    readonly requests?: number;
    readonly asker?: number | undefined;
    readonly replicas?: number;
    readonly leasePreference?: string;
    readonly joint?: boolean;
  } = {},
): RangePicture {
  const { learners = [], leader = voters[0], bytes = 0, requests = 0, joint = false } = options;
  const { replicas: wanted, leasePreference } = options;
  const asker = options.asker === undefined ? undefined : toStoreId(options.asker);
  const replicas = [...voters, ...learners].map((storeId, i) => ({
    replicaId: toReplicaId(i + 1),
    storeId: toStoreId(storeId),
    ...(learners.includes(storeId)
      ? { role: ReplicaRole.LEARNER }
      : joint && i === 0
        ? { role: ReplicaRole.VOTER_OUTGOING }
        : {}),
  }));
  const descriptor: RangeDescriptor = {
    rangeId: toRangeId(id),
    startKey: Uint8Array.of(id),
    endKey: Uint8Array.of(id + 1),
    generation: 1,
    replicas,
    nextReplicaId: toReplicaId(replicas.length + 1),
  };
  const leaseholder = leader === undefined ? undefined : toStoreId(leader);
  return { descriptor, leaseholder, bytes, requests, asker, replicas: wanted, leasePreference };
}

export function picture(
  stores: readonly StorePicture[],
  ranges: readonly RangePicture[],
  rest: Partial<PlacementPicture> = {},
): PlacementPicture {
  return {
    ...{ stores, ranges, replicationFactor: 3, underWay: [] },
    paces: { receivingMax: 2, receivingBytesMax: 0, receivingSmallMax: 2, transfersMax: 4 },
    ...{ setbacks: new Map(), leasesAtRest: new Set() },
    ...rest,
  };
}

/** `r1 +4 -3 repair`, `r2 lease 1>2 drain`. */
export function brief(action: PlacementAction): string {
  const { rangeId, rule } = action;
  if (action.kind === 'transfer') return `r${rangeId} lease ${action.from}>${action.to} ${rule}`;
  const parts = [...action.add.map((id) => `+${id}`), ...action.remove.map((id) => `-${id}`)];
  return `r${rangeId} ${parts.join(' ')} ${rule}`;
}

/** The range as it is when the action has been carried out, by the steps that a leaseholder takes. */
export function after(from: RangePicture, action: PlacementAction): RangePicture {
  if (action.kind === 'transfer') return { ...from, leaseholder: action.to };
  let { leaseholder } = from;
  let descriptor = { ...from.descriptor, replicas: [...from.descriptor.replicas] };
  for (;;) {
    const step = nextStep(descriptor, action, leaseholder ?? toStoreId(1));
    if (step.kind === 'handOver') {
      leaseholder = storeOf(descriptor, step.to[0]);
      continue;
    }
    if (step.kind !== 'change') return { ...from, descriptor, leaseholder };
    const { change } = step;
    let { replicas, nextReplicaId } = descriptor;
    if (change.kind === 'addLearner') {
      const { replicaId, storeId } = change;
      replicas = [...replicas, { replicaId, storeId, role: ReplicaRole.LEARNER }];
      nextReplicaId = toReplicaId(replicaId + 1);
    } else if (change.kind === 'removeLearner')
      replicas = replicas.filter(({ replicaId }) => replicaId !== change.replicaId);
    else
      replicas = replicas
        .filter(({ replicaId }) => !change.demote.includes(replicaId))
        .map(({ replicaId, storeId, role }) =>
          role === undefined || change.promote.includes(replicaId)
            ? { replicaId, storeId }
            : { replicaId, storeId, role },
        );
    descriptor = { ...descriptor, replicas, nextReplicaId, generation: descriptor.generation + 1 };
  }
}

/** The same with a learner more, as a change leaves it that gets no further. */
export function withLearner(from: RangePicture, storeId: StoreId): RangePicture {
  const { descriptor } = from;
  if (descriptor.replicas.some((replica) => replica.storeId === storeId)) return from;
  const { nextReplicaId: replicaId, generation } = descriptor;
  const learner = { replicaId, storeId, role: ReplicaRole.LEARNER };
  const replicas = [...descriptor.replicas, learner];
  const nextReplicaId = toReplicaId(replicaId + 1);
  return {
    ...from,
    descriptor: { ...descriptor, replicas, nextReplicaId, generation: generation + 1 },
  };
}

function storeOf(descriptor: RangeDescriptor, replicaId: number | undefined): StoreId | undefined {
  return descriptor.replicas.find((replica) => replica.replicaId === replicaId)?.storeId;
}
