/** The conformance suite of `Transport`, a nats-server of one's own, and stores that only pretend. For tests. */
export * from './fake-cluster.ts';
export * from './fake-transaction-cluster.ts';
export * from './nats-server.ts';
export * from './transport-suite.ts';
