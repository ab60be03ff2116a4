/**
 * A cluster of one store inside this process, with no nats-server: what `connect({ embedded: true })` talks to. The store
 * is the one that clusters are made of, and so is the network, which is the one that programs without a nats-server use;
 * only the files differ, which are in memory unless a directory is named. Loaded by the SDK when it is asked for, and by
 * nobody else.
 *
 * What it does not do: grow, or survive the loss of its disk. A directory of a cluster of several stores is not for it.
 */
export {
  type EmbeddedCluster,
  type EmbeddedOptions,
  openEmbeddedCluster,
} from './embedded-cluster.ts';
