export { openDns } from "./server.ts";
