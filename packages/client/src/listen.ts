/** LISTEN from the SDK: a session that does nothing else. */
import type { Notification, SqlSession, SqlSessionEvents } from '@flotilla/sql';

export interface Subscription {
  /** Nothing is heard any more. Idempotent. */
  close(): void;
}

/** Throws what LISTEN throws. */
export async function listenTo(
  createSession: (events: Partial<SqlSessionEvents>) => SqlSession,
  channel: string,
  handler: (notification: Notification) => void,
): Promise<Subscription> {
  const session = createSession({ onNotification: handler });
  try {
    for (const statement of session.parse(`LISTEN "${channel.replaceAll('"', '""')}"`))
      await session.execute(await session.prepare(statement, []), []);
  } catch (error) {
    session.close();
    throw error;
  }
  return { close: () => session.close() };
}
