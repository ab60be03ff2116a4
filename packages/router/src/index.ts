export * from './router-api.ts';
