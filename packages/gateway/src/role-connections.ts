/** How many sessions each role has in this gateway: CONNECTION LIMIT is kept here, gateway by gateway. */
import { SqlError } from '@flotilla/sql';

export class RoleConnections {
  private readonly counts = new Map<string, number>();

  /** @param limit -1 = any number. Throws SqlError 53300. */
  enter(role: string, limit: number): void {
    const count = this.counts.get(role) ?? 0;
    if (limit >= 0 && count >= limit)
      throw new SqlError('53300', `too many connections for role "${role}"`);
    this.counts.set(role, count + 1);
  }

  /** For one that has entered. */
  leave(role: string): void {
    const count = (this.counts.get(role) ?? 0) - 1;
    if (count > 0) this.counts.set(role, count);
    else this.counts.delete(role);
  }
}
