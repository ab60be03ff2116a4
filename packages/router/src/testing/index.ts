/** The conformance suite of `Transport` and a nats-server of one's own. For tests and the simulator. */
export * from './nats-server.ts';
export * from './transport-suite.ts';
