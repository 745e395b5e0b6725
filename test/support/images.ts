/** Every image with known answers that there is here: made by hand, made by the programs that are installed, and the shared corpus. */

import { corpus, unpackChain } from './corpus.ts';
import { type Need, testWith } from './needs.ts';
import { archivesOf7zip, archivesOfBsdtar, archivesOfPython, archivesOfTar, producedArchives } from './producers/archives.ts';
import { producedChains } from './producers/chains.ts';
import { hostileArchives } from './producers/hostile-archives.ts';
import { hostileVhds } from './producers/hostile-vhds.ts';
import type { Image } from './producers/image.ts';
import { qemuVhds } from './producers/qemu.ts';
import { producedVhds } from './producers/vhds.ts';

interface Origin {
  readonly name: string;
  readonly needs: readonly Need[];
  /** None where the shared corpus is missing, since only it says what is in it. */
  readonly images: readonly Image[];
}

const shared = (): Image[] => corpus().map((entry) => ({ ...entry, store: (folder) => unpackChain(entry, folder) }));

const ORIGINS: readonly Origin[] = [
  {
    name: 'what the tests make',
    needs: [],
    images: [...producedVhds(), ...producedChains(), ...producedArchives(), ...hostileVhds(), ...hostileArchives()],
  },
  { name: 'what qemu-img makes', needs: ['qemu-img'], images: qemuVhds() },
  { name: 'archives of tar', needs: ['tar'], images: archivesOfTar() },
  { name: 'archives of bsdtar', needs: ['bsdtar'], images: archivesOfBsdtar() },
  { name: 'archives of 7-Zip', needs: ['7z'], images: archivesOf7zip() },
  { name: 'archives of Python', needs: ['python3'], images: archivesOfPython() },
  { name: 'the shared corpus', needs: ['corpus'], images: shared() },
];

interface Chosen {
  readonly where: (image: Image) => boolean;
  /** Besides what it takes to have the images. */
  readonly needs?: readonly Need[];
}

/** One test for each image that is chosen; `title` has `$file`. Those that cannot be had here are skipped, with the reason. */
export function eachImage(title: string, { where, needs = [] }: Chosen, body: (image: Image) => Promise<void>): void {
  for (const origin of ORIGINS) {
    const chosen = origin.images.filter(where);
    if (chosen.length > 0) testWith(...origin.needs, ...needs).each(chosen)(title, body);
    else if (origin.images.length === 0) testWith(...origin.needs, ...needs)(title.replace('$file', origin.name), () => {});
  }
}
