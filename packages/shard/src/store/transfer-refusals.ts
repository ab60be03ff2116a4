/** Why a leaseholder hands its range to nobody just now, in the words that operators read. */
import type { StoreId } from '@flotilla/base';
import type { TransferResult } from '@flotilla/raft';

type Refusal = Extract<TransferResult, { ok: false }>['reason'];

export function transferRefusal(reason: Refusal, target: StoreId): string {
  switch (reason) {
    case 'notLeader':
    case 'self':
      return 'the lease has moved meanwhile: ask again';
    case 'notVoter':
      return `the replica on s${target} has no vote yet, or no more: ask again when its move is done`;
    case 'inProgress':
      return 'the lease is being handed over already: ask again in a moment';
    case 'notReady':
      return `s${target} is being sent a snapshot of the range: ask again when it has it`;
    case 'notHeard':
      return `nothing is heard of s${target}: start it first`;
  }
}
