import type { TObject, TString } from 'typebox'
import { Type } from 'typebox'
import type { Operation } from '../operation.ts'
import { defineOperation } from '../operation.ts'
import { Empty } from './operation-parts.ts'

/** The desktop of a sandbox. There is none yet: each operation returns COMPUTER_USE_UNAVAILABLE. §20.8 of the contract. */
export const computerOperations = {
  startComputerUse: post('/start', 'Start the desktop'),
  stopComputerUse: post('/stop', 'Stop the desktop'),
  getComputerUseStatus: get('/status', 'Whether the desktop runs'),
  getComputerUseProcessStatus: get('/process-status', 'Which processes of the desktop run'),
  getDesktopProcessStatus: get('/process/{processName}/status', 'Whether a process of the desktop runs'),
  restartDesktopProcess: post('/process/{processName}/restart', 'Restart a process of the desktop'),
  getDesktopProcessLogs: get('/process/{processName}/logs', 'What a process of the desktop has printed'),
  getDesktopProcessErrors: get('/process/{processName}/errors', 'What a process of the desktop has printed as errors'),
  getMousePosition: get('/mouse/position', 'Where the mouse is'),
  moveMouse: post('/mouse/move', 'Move the mouse'),
  clickMouse: post('/mouse/click', 'Click'),
  dragMouse: post('/mouse/drag', 'Drag'),
  scrollMouse: post('/mouse/scroll', 'Scroll'),
  typeText: post('/keyboard/type', 'Type text'),
  pressKey: post('/keyboard/key', 'Press a key'),
  pressHotkey: post('/keyboard/hotkey', 'Press keys together'),
  takeScreenshot: get('/screenshot', 'The screen'),
  takeRegionScreenshot: get('/screenshot/region', 'A part of the screen'),
  takeCompressedScreenshot: get('/screenshot/compressed', 'The screen, compressed'),
  takeCompressedRegionScreenshot: get('/screenshot/region/compressed', 'A part of the screen, compressed'),
  getDisplayInfo: get('/display/info', 'The displays'),
  listDesktopWindows: get('/display/windows', 'The windows'),
  getAccessibilityTree: get('/a11y/tree', 'What is on the screen, as a tree'),
  findAccessibilityNodes: post('/a11y/find', 'Find elements on the screen'),
  focusAccessibilityNode: post('/a11y/node/focus', 'Focus an element'),
  invokeAccessibilityNode: post('/a11y/node/invoke', 'Do what an element offers'),
  setAccessibilityNodeValue: post('/a11y/node/value', 'Set the value of an element'),
  listRecordings: get('/recordings', 'Recordings of the screen'),
  startRecording: post('/recordings/start', 'Start to record the screen'),
  stopRecording: post('/recordings/stop', 'Stop to record the screen'),
  getRecording: get('/recordings/{id}', 'A recording'),
  deleteRecording: unavailable('DELETE', '/recordings/{id}', 'Delete a recording'),
  downloadRecording: get('/recordings/{id}/download', 'The video of a recording'),
} as const

function get(path: string, summary: string) {
  return unavailable('GET', path, summary)
}

function post(path: string, summary: string) {
  return unavailable('POST', path, summary)
}

/** Declares an operation that reads neither query nor body. */
function unavailable(method: Operation['method'], below: string, summary: string) {
  const path = `/computeruse${below}`
  return defineOperation({
    method,
    path,
    summary: `${summary} (not available yet)`,
    params: parametersOf(path),
    query: Empty,
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Never(),
    errors: ['COMPUTER_USE_UNAVAILABLE'],
  })
}

function parametersOf(path: string): TObject<Record<string, TString>> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return Type.Object(Object.fromEntries(names.map((name) => [name, Type.String()])))
}
