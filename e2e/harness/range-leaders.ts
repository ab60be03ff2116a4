/** Who leads which range, asked of the stores themselves as often as a test likes: no discovery, no waiting for silence. */
import type { StoreId } from '@flotilla/base';
import type { Router } from '@flotilla/router';

export interface RangeLeader {
  readonly rangeId: number;
  readonly startKey: Uint8Array;
  readonly storeIds: readonly number[];
  readonly term: number;
  /** 0: nobody who answers says that it leads. */
  readonly storeId: number;
}

/** By range. Stores that do not answer within `timeoutMs` are left out. */
export async function rangeLeaders(
  router: Router,
  storeIds: readonly StoreId[],
  timeoutMs = 500,
): Promise<Map<number, RangeLeader>> {
  const leaders = new Map<number, RangeLeader>();
  const answers = await Promise.allSettled(
    storeIds.map((storeId) => router.status(storeId, { timeoutMs })),
  );
  for (const answer of answers) {
    if (answer.status === 'rejected') continue;
    const storeId = answer.value.storeId ?? 0;
    for (const { info, role, ...rest } of answer.value.replicas ?? []) {
      const term = rest.term ?? 0;
      const rangeId = info?.descriptor?.rangeId ?? 0;
      const known = leaders.get(rangeId);
      if (known !== undefined && (role !== 'leader' || term < known.term)) continue;
      leaders.set(rangeId, {
        rangeId,
        startKey: info?.descriptor?.startKey ?? new Uint8Array(0),
        storeIds: (info?.descriptor?.replicas ?? []).map((member) => member.storeId ?? 0),
        term,
        storeId: role === 'leader' ? storeId : 0,
      });
    }
  }
  return leaders;
}
