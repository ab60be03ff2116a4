/** Bounds of every queue, buffer and wait of a gateway, with their reasons. All of them may be set per gateway. */

export interface GatewayLimits {
  /** Sessions past authentication. More get 53300. */
  readonly connectionsMax: number;
  /** Sockets that have not authenticated yet, in all. More get 53300 at once. */
  readonly unauthenticatedMax: number;
  /** The same per peer address: one address must not be able to use up the whole allowance. */
  readonly unauthenticatedPerAddressMax: number;
  /** From accept to authenticated, milliseconds. Slow or silent peers are closed. */
  readonly authenticationDeadlineMs: number;
  /** Length field of a startup packet, bytes. PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
  readonly startupBytesMax: number;
  /** What an unauthenticated peer may make us hold, bytes. */
  readonly unauthenticatedBytesMax: number;
  /** Length field of Query, Parse, Bind, CopyData and FunctionCall, bytes. */
  readonly messageBytesMax: number;
  /** Length field of every other message, bytes. PostgreSQL's PQ_SMALL_MESSAGE_LIMIT. */
  readonly smallMessageBytesMax: number;
  /** Whole messages read ahead while a statement runs, bytes; then the socket is paused. */
  readonly readAheadBytesMax: number;
  /** Results leave as soon as this many bytes are ready, Sync or not. */
  readonly flushBytes: number;
  /** Bytes written without leaving the turn of the event loop; then others get theirs. */
  readonly turnBytesMax: number;
  /** A peer that takes nothing of what we sent, or sends nothing of what it began, for this long is dropped. */
  readonly stallMs: number;
  /** After our last message: how long the peer may take to close, milliseconds. */
  readonly lingerMs: number;
  /** Prepared statements per session, named and unnamed. */
  readonly statementsMax: number;
  /** Portals per session between two Syncs. */
  readonly portalsMax: number;
  /** Notifications that wait for a session's transaction to end. More end the session (53400). */
  readonly notificationsMax: number;
  /** Source texts and parameters that one session's statements and portals may hold, bytes. */
  readonly retainedBytesMax: number;
}

export const defaultLimits: GatewayLimits = {
  connectionsMax: 5_000,
  unauthenticatedMax: 2_000,
  unauthenticatedPerAddressMax: 1_000, // a pool that reconnects at once arrives within one turn
  authenticationDeadlineMs: 10_000,
  startupBytesMax: 10_000,
  unauthenticatedBytesMax: 65_536,
  messageBytesMax: 64 * 1024 * 1024,
  smallMessageBytesMax: 10_000,
  readAheadBytesMax: 256 * 1024,
  flushBytes: 32 * 1024,
  turnBytesMax: 1024 * 1024,
  stallMs: 60_000,
  lingerMs: 2_000,
  statementsMax: 10_000,
  portalsMax: 1_000,
  notificationsMax: 10_000,
  retainedBytesMax: 128 * 1024 * 1024,
};
