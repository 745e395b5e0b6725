import { describe, expect, test } from 'vitest';
import { ENVELOPE_2, envelope, GiB, OLD_VMWARE, OVFTOOL, read, refused, VHD, VIRTUALBOX, VMDK, XENCENTER } from '../support/ovf.ts';

describe('the OVF of each producer is read', () => {
  test('VMware ovftool: units, a compressed file, an empty disk, a file that is not a disk', () => {
    const one = { id: 'file1', href: 'web-01-disk1.vmdk', size: 1037312000, chunked: false };
    const two = { id: 'file2', href: 'web-01-disk2.vmdk.gz', size: 68096, compression: 'gzip', chunked: false };
    expect(read(OVFTOOL)).toEqual({
      files: [one, two, { id: 'file3', href: 'web-01-file1.nvram', size: 8684, chunked: false }],
      disks: [
        { diskId: 'vmdisk1', file: one, capacity: 40 * GiB, format: VMDK },
        { diskId: 'vmdisk2', file: two, capacity: GiB / 2, format: VMDK },
        { diskId: 'vmdisk3', file: undefined, capacity: 8 * GiB, format: VMDK },
      ],
    });
  });

  test('VirtualBox: a name with spaces, and a machine definition that is not part of the package', () => {
    const file = { id: 'file1', href: 'Debian (base)-disk001.vhd', chunked: false };
    expect(read(VIRTUALBOX)).toEqual({ files: [file], disks: [{ diskId: 'vmdisk1', file, capacity: 20 * GiB, format: VHD }] });
  });

  test('XenCenter and XCP-ng Center: prefixes everywhere', () => {
    const id = 'd5ad6bb7-cf5f-4f0e-8d2c-ac1f2a0a5b11';
    const file = { id, href: `${id}.vhd`, size: 4403142144, chunked: false };
    expect(read(XENCENTER)).toEqual({
      files: [file, { id: 'fixup', href: 'fixup.iso', size: 112640, chunked: false }],
      disks: [{ diskId: 'Xenplk_1', file, capacity: 24 * GiB, format: VHD }],
    });
  });

  test('old VMware tools: sections by type, units by name, a disk with a parent', () => {
    const file = { id: 'file1', href: 'router-disk1.vmdk', size: 152882176, chunked: false };
    expect(read(OLD_VMWARE)).toEqual({
      files: [file],
      disks: [
        { diskId: 'vmdisk1', file, capacity: 4 * GiB, format: 'http://www.vmware.com/specifications/vmdk.html#sparse' },
        { diskId: 'vmdisk2', file: undefined, capacity: 2 * GiB, parentRef: 'vmdisk1' },
      ],
    });
  });

  test('OVF 2: chunks, and a capacity left to the deployment', () => {
    const file = { id: 'f1', href: 'disks/system.vhd', size: 8589934592, chunked: true };
    expect(read(ENVELOPE_2)).toEqual({ files: [file], disks: [{ diskId: 'd1', file }] });
  });

  test.each([
    ['no prefix at all', (text: string) => text.replaceAll('ovf:', '')],
    ['another prefix', (text: string) => text.replaceAll('ovf:', 'ns0.-_ö:').replaceAll('xmlns:ovf=', 'xmlns:ns0.-_ö=')],
    ['an unknown namespace', (text: string) => text.replaceAll('http://schemas.dmtf.org/ovf/envelope/1', 'urn:x')],
    ['another namespace for attributes', (text: string) => text.replace(/xmlns:ovf="[^"]*"/, 'xmlns:ovf="urn:x"')],
    ['the sections in another order', (text: string) => text.replace(/( *<References>.*?<\/References>)(.*?<\/DiskSection>)/s, '$2$1')],
    ['Windows line ends', (text: string) => text.replaceAll('\n', '\r\n')],
    ['no XML declaration', (text: string) => text.replace(/^.*\n/, '')],
  ])('any producer with %s', (_, change) => {
    for (const text of [OVFTOOL, VIRTUALBOX]) {
      expect(change(text)).not.toBe(text);
      expect(read(change(text))).toEqual(read(text));
    }
  });

  test('any producer in UTF-8 and UTF-16 with a byte order mark, whatever the declaration says', () => {
    const text = VIRTUALBOX.replaceAll('Debian%20(base)', 'größe 日本 💾');
    expect(read(text).files[0]?.href).toBe('größe 日本 💾-disk001.vhd');
    for (const declared of [text, text.replace('?>', ' encoding="utf-16"?>')]) {
      const wide = Buffer.from(`\ufeff${declared}`, 'utf16le');
      for (const bytes of [Buffer.from(`\ufeff${declared}`), wide, Buffer.from(wide).swap16()]) expect(read(bytes)).toEqual(read(text));
    }
  });

  test('the smallest envelope, which names nothing', () => {
    for (const text of ['<Envelope/>', '<a:Envelope xmlns:a="b"></a:Envelope>', ' \n<!-- a --><Envelope\n/><!-- b -->\n']) {
      expect(read(text)).toEqual({ disks: [], files: [] });
    }
  });

  test('4096 files and disks, but not one more', async () => {
    const many = (count: number, text: (index: number) => string): string =>
      Array.from({ length: count }, (_, index) => text(index)).join('');
    const files = (count: number): string => many(count, (index) => `<File id="${index}" href="${index}.vhd"/>`);
    const disks = (count: number): string => many(count, (index) => `<Disk diskId="${index}" fileRef="0"/>`);
    const all = read(envelope(files(4096), disks(4096)));
    expect([all.files.length, all.disks.length]).toEqual([4096, 4096]);
    expect(await refused(envelope(files(4097)))).toMatchObject({ code: 'OVF_XML', message: expect.stringContaining('4096 files') });
    expect(await refused(envelope(files(1), disks(4097)))).toMatchObject({ message: expect.stringContaining('4096 disks') });
  });
});
