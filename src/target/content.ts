import type { Look } from './guards.ts';
export async function refuseContent(_path: string, _kind: string, _size: number, _look: Look): Promise<void> {}
