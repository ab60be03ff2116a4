/** Notifications on their way to one client: they wait until it may be told, and for it to take what it was told. Bounded. */
import { type Notification, SqlError } from '@flotilla/sql';
import type { GatewayLimits } from '../limits.ts';
import { writeNotificationResponse } from '../messages/backend-messages.ts';
import type { ClientLink } from './client-link.ts';

export class Notifications {
  private readonly link: ClientLink;
  private readonly limits: Pick<GatewayLimits, 'notificationsMax'>;
  private waiting: Notification[] = [];
  private telling = false;

  constructor(link: ClientLink, limits: Pick<GatewayLimits, 'notificationsMax'>) {
    this.link = link;
    this.limits = limits;
  }

  add(notification: Notification): void {
    this.waiting.push(notification);
    if (this.waiting.length <= this.limits.notificationsMax) return;
    this.waiting = [];
    this.link.fatal(new SqlError('53400', 'too many notifications in the NOTIFY queue'));
  }

  /** All at once, into the output: something else follows. */
  tellAll(): void {
    if (this.waiting.length === 0) return;
    for (const notification of this.waiting)
      writeNotificationResponse(this.link.output, notification);
    this.waiting = [];
  }

  /** One after the other, no faster than the client takes them, as long as it may be told. */
  async tell(mayTell: () => boolean): Promise<void> {
    if (this.telling) return;
    this.telling = true;
    try {
      while (mayTell()) {
        const next = this.waiting.shift();
        if (next === undefined) return;
        writeNotificationResponse(this.link.output, next);
        await this.link.push();
      }
    } catch {
      this.waiting = []; // the client has gone: push says so by failing
    } finally {
      this.telling = false;
    }
  }
}
