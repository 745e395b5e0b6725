/**
 * Writing an OVF descriptor (DMTF DSP0243, version 1.1) for disks whose machine is unknown: a virtual system with the least hardware that
 * importers accept, and no network. The elements of an Item are in alphabetical order, as its schema requires.
 */

import { MiB } from '../bytes.ts';

interface OvfWriteDisk {
  /** The name of the member. It must need no percent-encoding: importers differ in whether they decode it. */
  readonly name: string;
  /** Bytes of the member. */
  readonly length: number;
  /** Bytes of the disk. */
  readonly virtualSize: number;
}

/** By this URI VirtualBox recognizes a VHD (ApplianceImpl.cpp, g_aUriToBackend). XenCenter looks at the name of the file. */
const VHD_FORMAT = 'http://go.microsoft.com/fwlink/?LinkId=137171';
const CIM = 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2';
/** OsType "Other" of the CIM schema. */
const OTHER_SYSTEM = 1;
const MEMORY = 1024 * MiB;

/** `name` is that of the virtual system. */
export function writeOvf(name: string, disks: readonly OvfWriteDisk[]): string {
  const files = disks.map((disk, index) => `    <File ovf:href="${xml(disk.name)}" ovf:id="file${index + 1}" ovf:size="${disk.length}"/>`);
  const sizes = disks.map(
    ({ virtualSize }, index) =>
      `    <Disk ovf:capacity="${virtualSize}" ovf:diskId="disk${index + 1}" ovf:fileRef="file${index + 1}" ovf:format="${VHD_FORMAT}"/>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="${CIM}/CIM_ResourceAllocationSettingData" xmlns:vssd="${CIM}/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <References>
${files.join('\n')}
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
${sizes.join('\n')}
  </DiskSection>
  <VirtualSystem ovf:id="${xml(name)}">
    <Info>A virtual machine</Info>
    <Name>${xml(name)}</Name>
    <OperatingSystemSection ovf:id="${OTHER_SYSTEM}">
      <Info>The guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual hardware family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${xml(name)}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>hvm-3.0-unknown</vssd:VirtualSystemType>
      </System>
${hardware(disks.length).map(itemText).join('\n')}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`;
}

type HardwareItem = Readonly<Record<string, string | number>>;

/** CIM_ResourceAllocationSettingData.ResourceType; 20 with the subtype AHCI is a SATA controller. */
const RESOURCE = { processor: 3, memory: 4, disk: 17, storage: 20 } as const;
const CONTROLLER = 3;

function hardware(disks: number): HardwareItem[] {
  return [
    { AllocationUnits: 'hertz * 10^6', ElementName: '1 virtual CPU', InstanceID: 1, ResourceType: RESOURCE.processor, VirtualQuantity: 1 },
    {
      AllocationUnits: 'byte * 2^20',
      ElementName: `${MEMORY / MiB} MiB of memory`,
      InstanceID: 2,
      ResourceType: RESOURCE.memory,
      VirtualQuantity: MEMORY / MiB,
    },
    { Address: 0, ElementName: 'SATA controller', InstanceID: CONTROLLER, ResourceSubType: 'AHCI', ResourceType: RESOURCE.storage },
    ...Array.from({ length: disks }, (_, index) => ({
      AddressOnParent: index,
      ElementName: `Disk ${index + 1}`,
      HostResource: `ovf:/disk/disk${index + 1}`,
      InstanceID: CONTROLLER + 1 + index,
      Parent: CONTROLLER,
      ResourceType: RESOURCE.disk,
    })),
  ];
}

function itemText(item: HardwareItem): string {
  const elements = Object.entries(item).map(([name, value]) => `        <rasd:${name}>${value}</rasd:${name}>`);
  return ['      <Item>', ...elements, '      </Item>'].join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Text for an element or an attribute. XML cannot hold control characters, nor halves of surrogate pairs. */
const xml = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '?').replace(/[&<>"]/g, (character) => ESCAPES[character] ?? character);
