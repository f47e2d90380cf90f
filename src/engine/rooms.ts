import type { DataRoot } from "../core/index.ts";
import { openImages } from "../images/index.ts";
import type { Images } from "../images/index.ts";
import type { NativeBinding } from "../native/index.ts";
import { openNetworks } from "../network/index.ts";
import type { Networks } from "../network/index.ts";
import { openContainers } from "../runtime/index.ts";
import type { ContainerStore } from "../runtime/index.ts";
import { openVolumes } from "../volumes/index.ts";
import type { Volumes } from "../volumes/index.ts";

/** The resource rooms of one data root, each opened when it is first needed: a command pays for what it uses. */
export interface Rooms {
  readonly native: NativeBinding;
  readonly images: Images;
  readonly networks: Networks;
  readonly volumes: Volumes;
  readonly containers: ContainerStore;
}

export function openRooms(root: DataRoot, native: NativeBinding): Rooms {
  let images: Images | undefined;
  let networks: Networks | undefined;
  let volumes: Volumes | undefined;
  let containers: ContainerStore | undefined;
  return {
    native,
    get images() {
      return (images ??= openImages(root, native));
    },
    get networks() {
      return (networks ??= openNetworks(root, native));
    },
    get volumes() {
      return (volumes ??= openVolumes(root, native));
    },
    get containers() {
      return (containers ??= openContainers(root, native));
    },
  };
}
