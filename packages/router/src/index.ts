/**
 * The router: key-value operations by key, wherever the key lives, and the NATS transport that carries them.
 */
export * from './nats/nats-transport.ts';
export * from './router-api.ts';
