import { Image as Image23 } from '@daytonaio/sdk'
import { Image as Image218 } from 'daytona-sdk-0-218'
import { describeImageContext } from './testing/image-context-scenario.ts'
import { sdk23, sdk218 } from './testing/shared-system.ts'

/** The method that `snapshot.create` and `create` from an image call first; the SDKs do not declare it. */
interface ContextUpload<Image> {
  processImageContext(objectStorageApi: unknown, image: Image): Promise<string[]>
}

describeImageContext('SDK 0.23', {
  upload: ({ folder, file }) => {
    const daytona = sdk23()
    const snapshots = daytona.snapshot.constructor as unknown as ContextUpload<Image23>
    const image = Image23.base('debian:12.9').addLocalDir(folder, '/project').addLocalFile(file, '/requirements.txt')
    return snapshots.processImageContext(Reflect.get(daytona, 'objectStorageApi'), image)
  },
})

describeImageContext('SDK 0.218', {
  upload: async ({ folder, file }) => {
    await using daytona = sdk218()
    const snapshots = daytona.snapshot.constructor as unknown as ContextUpload<Image218>
    const image = Image218.base('debian:12.9').addLocalDir(folder, '/project').addLocalFile(file, '/requirements.txt')
    return await snapshots.processImageContext(Reflect.get(daytona, 'objectStorageApi'), image)
  },
})
