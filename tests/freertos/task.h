/* SPDX-License-Identifier: MIT */
#ifndef TASK_STAND_IN_H
#define TASK_STAND_IN_H

#include "FreeRTOS.h"

void vTaskSuspendAll(void);
BaseType_t xTaskResumeAll(void);
void taskENTER_CRITICAL(void);
void taskEXIT_CRITICAL(void);

#endif
