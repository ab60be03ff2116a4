/** Notifications as functions see them. */
export interface NotificationAccess {
  /** Said when the transaction commits. Throws 22023, 53400. */
  notify(channel: string, payload: string): void;
  /** Channels that the session listens to, as of the last commit. */
  listening(): readonly string[];
}
