/** Transfers between accounts in several ranges. Whoever reads all accounts at once finds the sum that there was. */
import { keyOf } from '../../cluster/ranges.ts';
import type { Session } from './session.ts';
import { someOf, violated, type Workload } from './workload.ts';

const each = 100;

export class Bank implements Workload {
  private readonly keys: readonly Buffer[];

  constructor(count: number) {
    this.keys = Array.from({ length: count }, (_, n) => keyOf('xb', n));
  }

  async setUp(session: Session): Promise<void> {
    for (const key of this.keys) session.put(key, `${each}`);
  }

  async step(session: Session): Promise<void> {
    const { prng } = session;
    session.statement();
    if (prng.nextBelow(3) === 0) return this.look(session);
    const [from, to] = someOf(prng, this.keys.length, 2).map((n) => this.keys[n]) as [
      Buffer,
      Buffer,
    ];
    // Without a lock READ COMMITTED would check each account by itself only.
    const options = session.isSerializable ? session.mayLock() : { lock: 'exclusive' as const };
    const available = balanceOf(session, await session.get(from, options));
    await session.dawdle();
    const other = balanceOf(session, await session.get(to, options));
    const amount = 1 + prng.nextBelow(20);
    session.put(from, `${available - amount}`);
    await session.dawdle();
    session.put(to, `${other + amount}`);
  }

  async look(session: Session): Promise<void> {
    const found = await session.getMany(this.keys);
    const balances = found.map((text) => balanceOf(session, text));
    const sum = balances.reduce((all, balance) => all + balance, 0);
    if (sum === each * this.keys.length) return;
    throw violated(session, `accounts ${balances} are ${sum} together`);
  }
}

function balanceOf(session: Session, text: string | undefined): number {
  if (text === undefined) throw violated(session, 'an account is missing');
  return Number(text);
}
